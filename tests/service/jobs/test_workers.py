"""Who works: all of it for the operator, numbers for callers, slots for the dispatcher."""

import json
import socket
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import delete, update
from typer.testing import CliRunner

from service.cli.main import app
from service.jobs import leadership
from service.jobs.outbox import WORKER_SILENT_MS, idle_slots
from service.jobs.tables import ActiveDispatcher, Worker
from service.jobs.workers import list_workers
from service.platform.clock import db_now
from service.platform.database import Database
from service.platform.settings import Settings, environment_of
from tests.fixtures.client import Account, Api
from tests.fixtures.jobs import claimed, queued


def add(database: Database, name: str, **values: Any) -> None:
    with database.write() as session:
        row = {"hostname": "gpu-1", "pid": 7, "queues": ["train"], "device": "cuda:0", **values}
        session.add(Worker(id=f"wrk_{name}", **row))


def slots(database: Database) -> int:
    with database.read() as session:
        return idle_slots(session, "train")


def test_a_worker_at_a_job_draining_or_silent_has_no_slot(database: Database, tenant: str) -> None:
    for name in ("a", "b", "c", "d"):
        add(database, name)
    add(database, "short", queues=["short"])
    assert slots(database) == 4
    job_id = queued(database, tenant)
    claimed(database, job_id, owner="wrk_a")
    assert slots(database) == 3
    with database.write() as session:
        session.execute(update(Worker).where(Worker.id == "wrk_b").values(draining=True))
    assert slots(database) == 2
    with database.write() as session:
        past: Any = db_now() - WORKER_SILENT_MS - 1
        session.execute(update(Worker).where(Worker.id == "wrk_c").values(heartbeat_at=past))
    assert slots(database) == 1
    with database.read() as session:
        states = {view.id: (view.state, view.job_id) for view in list_workers(session)}
    assert states == {
        "wrk_a": ("busy", job_id),
        "wrk_b": ("draining", None),
        "wrk_c": ("silent", None),
        "wrk_d": ("idle", None),
        "wrk_short": ("idle", None),
    }


def test_a_job_whose_worker_is_gone_takes_no_slot_of_another(database: Database, tenant: str) -> None:
    claimed(database, queued(database, tenant), owner="wrk_killed")
    add(database, "restarted")
    assert slots(database) == 1


def test_callers_see_numbers_and_no_host(account: Account, api: Api) -> None:
    add(api.database, "a")
    add(api.database, "b", device="GPU-1")
    add(api.database, "c", device="cpu", queues=["train", "short"])
    spec = {"kind": "train", "architecture": "small_cnn", "dataset": "digits"}
    job_id = account.http.post("/v1/jobs", json=spec).json()["id"]
    claimed(api.database, job_id, owner="wrk_b")
    try:
        answer = account.http.get("/v1/workers")
    finally:
        with api.database.write() as session:  # it serves other tests too
            session.execute(delete(Worker))
    assert answer.json()["data"] == [
        {"queue": "short", "device": "cpu", "idle": 1, "busy": 0, "draining": 0},
        {"queue": "train", "device": "cpu", "idle": 1, "busy": 0, "draining": 0},
        {"queue": "train", "device": "gpu", "idle": 1, "busy": 1, "draining": 0},
    ]
    assert "gpu-1" not in answer.text


def test_the_operator_sees_hosts(settings: Settings, database: Database) -> None:
    add(database, "a", hostname="gpu-7")
    found = CliRunner(env=environment_of(settings)).invoke(app, ["workers", "list", "--json"])
    assert found.exit_code == 0, found.output
    [worker] = json.loads(found.stdout)
    assert (worker["id"], worker["hostname"], worker["device"]) == ("wrk_a", "gpu-7", "cuda:0")


def test_health_is_told_by_signs_of_life(settings: Settings, database: Database) -> None:
    def health(process: str) -> int:
        return CliRunner(env=environment_of(settings)).invoke(app, ["health", process]).exit_code

    assert (health("dispatcher"), health("worker")) == (1, 1)
    add(database, "elsewhere", hostname="another")
    assert health("worker") == 1
    add(database, "here", hostname=socket.gethostname())
    with database.write() as session:
        leadership.show(session, new_turn=True)
    assert (health("dispatcher"), health("worker")) == (0, 0)
    with database.write() as session:
        past: Any = db_now() - 30_001
        session.execute(update(Worker).values(heartbeat_at=past))
        session.execute(update(ActiveDispatcher).values(heartbeat_at=past))
    assert (health("dispatcher"), health("worker")) == (1, 1)


@pytest.mark.parametrize("device", ["gpu", "cuda", "cuda:-1", "GPU-", "cpu;rm", "0"])
def test_a_device_that_cannot_be_is_refused(device: str) -> None:
    with pytest.raises(ValidationError):
        Settings(device=device)
