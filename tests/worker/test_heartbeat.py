"""A lease that cannot be renewed is lost by the worker's own clock, whatever the database does meanwhile."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from service.jobs.transitions import Lease, LeaseLost
from service.platform.database import Database, is_away, is_full
from service.platform.settings import Settings
from tests.fixtures.database import settings_for
from tests.fixtures.jobs import claimed, queued
from tests.fixtures.waiting import command_of, eventually
from worker.context import WorkerContext
from worker.faults import unrecorded
from worker.heartbeat import Heartbeat
from worker.process import RunnerProcess
from worker.recorder import Recorder
from worker.supervision import Supervision

TTL_S = 3.0
REFUSAL = "CREATE TRIGGER refusal BEFORE UPDATE ON jobs BEGIN SELECT RAISE(ABORT, 'refused'); END"


@contextmanager
def beating(database: Database, tenant: str, ttl_s: float) -> Iterator[Heartbeat]:
    lease = claimed(database, queued(database, tenant), ttl_s=ttl_s).lease
    heartbeat = Heartbeat(database, lease, ttl_s, time.monotonic())
    heartbeat.start()
    try:
        yield heartbeat
    finally:
        heartbeat.finish()


def test_a_lease_is_lost_while_its_renewal_hangs(database: Database, tenant: str, settings: Settings) -> None:
    """Another process holds the lock for longer than the lease lasts; the driver waits for ten seconds."""
    with (
        beating(database, tenant, TTL_S) as heartbeat,
        closing(sqlite3.connect(settings.home / "cleave.db")) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        eventually(lambda: heartbeat.lost, 2 * TTL_S)
        assert heartbeat.is_alive()


def test_no_refusal_of_the_database_ends_the_renewals(
    database: Database, tenant: str, caplog: pytest.LogCaptureFixture
) -> None:
    with beating(database, tenant, 12.0) as heartbeat:  # renewed each three seconds, if it can be
        until = heartbeat.until
        with database.write() as session:
            session.execute(text(REFUSAL))
        eventually(lambda: "refused" in caplog.text)
        with database.write() as session:
            session.execute(text("DROP TRIGGER refusal"))
        eventually(lambda: heartbeat.until > until)


def test_a_runner_is_told_when_the_lease_ends(
    database: Database, tenant: str, context: WorkerContext, tmp_path: Path
) -> None:
    claim = claimed(database, queued(database, tenant))
    runner = RunnerProcess()
    heartbeat = Heartbeat(database, claim.lease, TTL_S, time.monotonic())  # not started: it renews nothing
    try:
        with pytest.raises(LeaseLost):
            Supervision(context, runner, heartbeat, Recorder(database, claim, tmp_path)).watch(None)
        eventually(lambda: command_of(runner.pid) == "")
    finally:
        runner.kill()


@pytest.mark.services
def test_a_statement_that_always_takes_too_long_is_not_repeated_for_ever(
    postgres_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A result that cannot be written would keep its worker and its lease."""
    monkeypatch.setattr("worker.heartbeat._RETRY_S", 0.0)
    database = Database(settings_for(tmp_path, database_url=postgres_database))
    heartbeat = Heartbeat(database, Lease(job_id="job_1", token=1, owner="wrk_1"), 60.0, time.monotonic())
    asked: list[int] = []

    def write() -> None:
        asked.append(1)
        with database.write() as session:
            session.execute(text("SET LOCAL statement_timeout = 20"))
            session.execute(text("SELECT pg_sleep(5)"))

    try:
        with pytest.raises(OperationalError, match="statement timeout"):
            heartbeat.patiently(write)
    finally:
        database.dispose()
    assert len(asked) == 5


def test_a_result_for_which_the_database_has_no_room_is_not_repeated_for_ever(
    database: Database, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease could be renewed for days, and would keep the worker. The job goes to the next attempt."""
    monkeypatch.setattr("worker.heartbeat._RETRY_S", 0.01)
    monkeypatch.setattr("worker.heartbeat._FULL_S", 0.3)
    asked: list[float] = []

    def write() -> None:
        asked.append(time.monotonic())
        with database.write() as session:
            session.execute(text("PRAGMA max_page_count = 1"))  # which is: no more than there are
            session.execute(text("CREATE TABLE result AS SELECT zeroblob(1000000)"))

    with (
        beating(database, tenant, 60.0) as heartbeat,
        pytest.raises(OperationalError, match="disk is full") as refused,
    ):
        heartbeat.patiently(write)
    assert time.monotonic() - asked[0] >= 0.3
    ending = unrecorded(refused.value)
    assert (ending.code, ending.cause) == ("storage_full", "infra")


def test_room_that_comes_back_in_time_is_used(
    database: Database, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.heartbeat._RETRY_S", 0.01)
    limits = iter([1, 1, 1_000_000])

    def write() -> str:
        with database.write() as session:
            session.execute(text(f"PRAGMA max_page_count = {next(limits)}"))
            session.execute(text("CREATE TABLE result AS SELECT zeroblob(1000000)"))
        return "written"

    with beating(database, tenant, 60.0) as heartbeat:
        assert heartbeat.patiently(write) == "written"


@pytest.mark.services
def test_postgres_says_too_that_its_disk_is_full(postgres_database: str, tmp_path: Path) -> None:
    database = Database(settings_for(tmp_path, database_url=postgres_database))
    full = "DO $$ BEGIN RAISE EXCEPTION 'No space left' USING ERRCODE = 'disk_full'; END $$"
    try:
        with pytest.raises(OperationalError) as refused, database.write() as session:
            session.execute(text(full))
    finally:
        database.dispose()
    assert (is_away(refused.value), is_full(refused.value)) == (True, True)
