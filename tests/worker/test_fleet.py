"""Three workers, one PostgreSQL, one Redis: jobs spread, each sees its worker's device, none runs twice."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import select

from core.specs import ExtractSpec
from service.jobs import service
from service.jobs.states import TERMINAL
from service.jobs.tables import Job, JobAttempt, Worker
from service.jobs.workers import count_workers
from service.platform.database import Database
from service.platform.settings import Settings, environment_of
from service.queue import prepare_broker
from tests.fixtures import redis as redis_fixture
from tests.fixtures.database import settings_for
from tests.fixtures.jobs import queued
from tests.fixtures.waiting import children_of, command_of, eventually
from tests.worker.test_brokers import running_dispatcher

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(400)]
GPU = "GPU-00000000-0000-0000-0000-000000000001"
WORKERS = [("train", "cpu"), ("train", GPU), ("short", "auto")]
TRAINING = {"epochs": 15, "batch_size": 32, "max_train_samples": 128}


@pytest.fixture
def settings(postgres_database: str, redis: str, tmp_path: Path) -> Settings:
    made = settings_for(
        tmp_path, database_url=postgres_database, broker_url=redis_fixture.URL, broker_prefix=redis
    )
    prepare_broker(made)
    return made


@pytest.fixture
def fleet(settings: Settings, database: Database) -> Iterator[list[subprocess.Popen[bytes]]]:
    with ExitStack() as stack:
        processes = []
        for queue, device in WORKERS:
            command = [sys.executable, "-m", "worker", "--queue", queue, "--device", device]
            process = subprocess.Popen(command, env=environment_of(settings), start_new_session=True)
            stack.callback(process.wait)
            stack.callback(process.kill)
            processes.append(process)
        eventually(lambda: len(workers(database)) == len(WORKERS), 120)
        yield processes


def workers(database: Database) -> dict[str, Worker]:
    with database.read() as session:
        return {worker.id: worker for worker in session.scalars(select(Worker))}


def running(database: Database) -> list[Job]:
    with database.read() as session:
        return list(session.scalars(select(Job).where(Job.state == "running", Job.kind == "train")))


def visible_to_runners(worker: Worker) -> set[str]:
    """CUDA_VISIBLE_DEVICES of the runners of one worker process."""
    found = set()
    for pid in children_of(worker.pid):
        if "worker.runner" in command_of(pid) and "parent_death" not in command_of(pid):
            content = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            names = dict(entry.decode().split("=", 1) for entry in content if b"=" in entry)
            found.add(names.get("CUDA_VISIBLE_DEVICES", "none"))
    return found


def test_jobs_spread_over_the_workers_and_none_runs_twice(
    settings: Settings, database: Database, tenant: str, fleet: list[subprocess.Popen[bytes]]
) -> None:
    known = workers(database)
    with database.read() as session:
        assert [(c.queue, c.device, c.idle) for c in count_workers(session)] == [
            ("short", "auto", 1), ("train", "cpu", 1), ("train", "gpu", 1)
        ]  # fmt: skip
    trainings = [queued(database, tenant, **TRAINING, seed=seed) for seed in range(4)]
    asking = [queued(database, tenant, **TRAINING, device="cuda") for _ in range(2)]
    with database.write() as session:
        short = [service.enqueue(session, tenant, ExtractSpec(model_id="mdl_none")).id for _ in range(3)]
    seen: set[tuple[str, str]] = set()
    with running_dispatcher(settings, database):
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            for job in running(database):
                worker = known[str(job.lease_owner)]
                seen |= {(worker.device, name) for name in visible_to_runners(worker)}
            with database.read() as session:
                states = session.scalars(select(Job.state)).all()
            if all(state in TERMINAL for state in states):
                break
            time.sleep(0.2)
    assert seen == {("cpu", ""), (GPU, GPU)}
    with database.read() as session:
        attempts = session.scalars(select(JobAttempt)).all()
    assert sorted(a.job_id for a in attempts) == sorted(trainings + asking + short)
    outcomes = {a.job_id: a.outcome for a in attempts}
    assert [outcomes[job_id] for job_id in trainings] == ["succeeded"] * 4
    by_device: dict[str, set[str]] = {device: set() for _, device in WORKERS}
    for attempt in attempts:
        by_device[known[attempt.worker_id].device].add(attempt.job_id)
    assert by_device["auto"] == set(short)
    assert by_device["cpu"] | by_device[GPU] == set(trainings + asking)
    assert by_device[GPU] >= set(asking)  # which find out that it is none
    assert by_device["cpu"]
    assert by_device[GPU]
