"""A real worker process behind each broker: hints arrive, forged ones are ignored, kills leave nothing."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import select

from core.specs import ExtractSpec
from service.dispatcher import Dispatcher
from service.jobs import service
from service.jobs.tables import Worker
from service.platform.database import Database
from service.platform.settings import Settings, environment_of
from service.queue import CeleryPublisher, create_celery, prepare_broker
from tests.fixtures import redis as redis_fixture
from tests.fixtures.database import copy_sqlite, settings_for
from tests.fixtures.jobs import read_job
from tests.fixtures.waiting import children_of, command_of, eventually


@pytest.fixture(params=["filesystem", pytest.param("redis", marks=pytest.mark.services)])
def settings(request: pytest.FixtureRequest, sqlite_template: Settings, tmp_path: Path) -> Settings:
    values: dict[str, str] = {}
    if request.param == "redis":
        prefix = request.getfixturevalue("redis")
        values = {"broker_url": redis_fixture.URL, "broker_prefix": prefix}
        # The production pair: both servers.
        values["database_url"] = request.getfixturevalue("postgres_database")
    made = settings_for(tmp_path, publish_timeout_s=2.0, **values)
    if "database_url" not in values:
        copy_sqlite(sqlite_template, made)
    prepare_broker(made)
    return made


@contextmanager
def running_worker(settings: Settings, database: Database) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m worker --queue short`, reported in."""
    command = [sys.executable, "-m", "worker", "--queue", "short"]
    with subprocess.Popen(command, env=environment_of(settings), start_new_session=True) as process:
        try:
            eventually(lambda: workers(database))
            yield process
        finally:
            process.kill()


@contextmanager
def running_dispatcher(settings: Settings, database: Database) -> Iterator[CeleryPublisher]:
    with create_celery(settings) as app:
        publisher, stop = CeleryPublisher(app), threading.Event()
        thread = threading.Thread(target=Dispatcher(database, publisher, settings).run, args=(stop,))
        thread.start()
        try:
            yield publisher
        finally:
            stop.set()
            thread.join()


def workers(database: Database) -> list[str]:
    with database.read() as session:
        return list(session.scalars(select(Worker.id)))


def test_round_trip(settings: Settings, database: Database, tenant: str) -> None:
    def submit() -> str:
        # It fails by name before it needs a runner: its model does not exist.
        with database.write() as session:
            return service.enqueue(session, tenant, ExtractSpec(model_id="mdl_none")).id

    def has_failed(job_id: str) -> bool:
        return read_job(database, job_id).state == "failed"

    with running_dispatcher(settings, database) as publisher, running_worker(settings, database) as process:
        for forged in ("job_unknown", "../../etc/passwd", "", "job_" + "x" * 500):
            publisher.publish(forged, "short")
        jobs = [submit() for _ in range(3)]
        for job_id in jobs:
            eventually(partial(has_failed, job_id))
            error = read_job(database, job_id).error
            assert error is not None
            assert error["code"] == "artifact_missing"

        family = children_of(process.pid)
        assert any("worker.runner" in command_of(pid) for pid in family)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        eventually(lambda: all(command_of(pid) == "" for pid in family), 10)
        assert workers(database) == []


def test_a_worker_killed_with_sigkill_takes_its_processes_along(
    settings: Settings, database: Database, tenant: str
) -> None:
    with running_worker(settings, database) as process:
        eventually(lambda: any("runner" in command_of(pid) for pid in children_of(process.pid)))
        family = children_of(process.pid)
        process.kill()
        process.wait()
        eventually(lambda: all(command_of(pid) == "" for pid in family), 10)
