"""A real worker process behind each broker: hints arrive, forged ones are ignored, kills leave nothing."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from core.specs import ExtractSpec
from service.dispatcher import Dispatcher
from service.jobs import outbox, service
from service.jobs.tables import Job, JobAttempt, OutboxMessage, Worker
from service.platform.database import Database
from service.platform.settings import Settings, environment_of
from service.queue import CeleryPublisher, create_celery, prepare_broker
from tests.fixtures import redis as redis_fixture
from tests.fixtures.database import copy_sqlite, settings_for
from tests.fixtures.jobs import queued, read_job, succeed
from tests.fixtures.waiting import children_of, command_of, eventually
from tests.service.jobs.promises import broken_promises
from tests.worker.test_execution import ENDLESS, attempts_of, has_checkpoint


@pytest.fixture(params=["filesystem", pytest.param("redis", marks=pytest.mark.services)])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    values: dict[str, str] = {}
    if request.param == "redis":
        prefix = request.getfixturevalue("redis")
        values = {"broker_url": redis_fixture.URL, "broker_prefix": prefix}
        # The production pair: both servers.
        values["database_url"] = request.getfixturevalue("postgres_database")
    made = settings_for(tmp_path, publish_timeout_s=2.0, **values)
    if "database_url" not in values:
        copy_sqlite(made)
    prepare_broker(made)
    return made


@contextmanager
def running_worker(
    settings: Settings, database: Database, number: int = 1, queue: str = "short"
) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m worker`, reported in."""
    command = [sys.executable, "-m", "worker", "--queue", queue]
    with subprocess.Popen(command, env=environment_of(settings), start_new_session=True) as process:
        try:
            eventually(lambda: len(workers(database)) >= number)
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
            assert (error["code"], error["cause"]) == ("not_found", "user")

        family = children_of(process.pid)
        assert any("worker.runner" in command_of(pid) for pid in family)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        eventually(lambda: all(command_of(pid) == "" for pid in family), 10)
        assert workers(database) == []


def test_sigterm_to_the_whole_group_drains_and_burns_no_attempt(
    settings: Settings, database: Database, tenant: str
) -> None:
    """As systemd and `timeout` send it: the worker's child hears it too."""
    with (
        running_dispatcher(settings, database),
        running_worker(settings, database, queue="train") as process,
    ):
        with database.read() as session:  # what an operator is told to signal
            assert session.scalars(select(Worker.pid)).all() == [process.pid]
        job_id = queued(database, tenant, **ENDLESS)
        eventually(lambda: has_checkpoint(database))
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(60) == 0
        (attempt,) = attempts_of(database, job_id)
        assert (attempt.outcome, attempt.cause) == ("interrupted", None)
        assert read_job(database, job_id).state == "queued"


def test_a_worker_killed_with_sigkill_takes_its_processes_along(
    settings: Settings, database: Database, tenant: str
) -> None:
    left = settings.checkpoint_root / queued(
        database, tenant
    )  # by one that was killed right after it published
    left.mkdir(parents=True)
    with database.write() as session:
        succeed(session, left.name, {})
    with running_worker(settings, database) as process:
        eventually(lambda: any("runner" in command_of(pid) for pid in children_of(process.pid)))
        eventually(lambda: not left.exists(), 20)  # a thread of its own does it
        family = children_of(process.pid)
        process.kill()
        process.wait()
        eventually(lambda: all(command_of(pid) == "" for pid in family), 10)


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("dropped_hints", "doubled_hints"), [(20, 100), pytest.param(200, 1_000, marks=pytest.mark.slow)]
)
def test_doubled_and_dropped_hints_start_each_job_once(
    settings: Settings, database: Database, tenant: str, dropped_hints: int, doubled_hints: int
) -> None:
    count = dropped_hints + doubled_hints // 10
    with database.write() as session:
        # They fail by name before they need a runner: their model does not exist.
        jobs = [service.enqueue(session, tenant, ExtractSpec(model_id="mdl_none")).id for _ in range(count)]
    dropped, doubled = jobs[:dropped_hints], jobs[dropped_hints:] * 10
    with create_celery(settings) as app:
        publisher = CeleryPublisher(app)
        for job_id in dropped:
            publisher.publish(job_id, "short")
            with database.write() as session:
                sent = session.get_one(OutboxMessage, job_id)
                outbox.mark_published(session, sent, settings.publish_timeout_s)
        with app.connection_for_write() as connection:
            channel: Any = connection.default_channel  # the stubs do not know what every transport has
            assert channel.queue_purge("short") == len(dropped)
        for job_id in doubled:
            publisher.publish(job_id, "short")

    def all_over() -> bool:
        with database.read() as session:
            left = select(func.count()).select_from(Job).where(Job.state != "failed")
            return session.scalar(left) == 0

    with (
        running_worker(settings, database),
        running_worker(settings, database, number=2),
        running_dispatcher(settings, database),
    ):
        eventually(all_over, 300)
    with database.read() as session:
        attempts = session.execute(select(JobAttempt.job_id, JobAttempt.attempt)).all()
        workers_used = set(session.scalars(select(JobAttempt.worker_id)))
        assert broken_promises(session) == []
    assert sorted(attempts) == sorted((job_id, 1) for job_id in jobs)
    assert len(workers_used) >= 2  # Celery replaces a process after 200 hints
