"""Whose turn it is, and how much a tenant may ask for."""

import threading

import pytest
from sqlalchemy import insert, update

from service.dispatcher import Dispatcher
from service.jobs import expiry, fairness, leases, outbox, service
from service.jobs.tables import Job, OutboxMessage
from service.jobs.transitions import AGEING_MS
from service.platform.clock import db_now
from service.platform.database import Database
from service.platform.errors import QueueFullError
from service.platform.settings import Settings
from service.tenants.service import ensure_tenant, limit_tenant
from tests.fixtures.jobs import claimed, queued, train_spec
from tests.fixtures.statements import statements
from tests.service.jobs.test_dispatcher import Recorder, add_worker


@pytest.fixture
def other(database: Database) -> str:
    with database.write() as session:
        return ensure_tenant(session, "other")


def next_job(database: Database, max_running: int | None = None) -> str | None:
    with database.read() as session:
        hint = fairness.next_hint(session, "train", max_running)
        return hint.job_id if hint else None


def wait_longer(database: Database, job_id: str, minutes: int) -> None:
    with database.write() as session:
        aged = update(OutboxMessage).where(OutboxMessage.job_id == job_id)
        session.execute(aged.values(turn=OutboxMessage.turn - minutes * 60_000))


def in_turn(database: Database, *job_ids: str, priority: int = 50) -> None:
    """Queued a millisecond after each other, with no ten-minute mark in between."""
    with database.write() as session:
        for number, job_id in enumerate(job_ids):
            queued_at = update(OutboxMessage).where(OutboxMessage.job_id == job_id)
            session.execute(queued_at.values(turn=(1000 - priority) * AGEING_MS + number))


def published(database: Database, settings: Settings, workers: int) -> list[str]:
    for number in range(workers):
        add_worker(database, number=number)
    broker = Recorder()
    Dispatcher(database, broker, settings).relay("train")
    return [job_id for job_id, _ in broker.published]


class TestOrder:
    def test_ten_minutes_of_waiting_are_worth_a_point(self, database: Database, tenant: str) -> None:
        low, high = queued(database, tenant, priority=50), queued(database, tenant, priority=51)
        wait_longer(database, low, 9)
        assert next_job(database) == high
        wait_longer(database, low, 2)
        assert next_job(database) == low

    def test_even_the_least_urgent_gets_its_turn(self, database: Database, tenant: str) -> None:
        low = queued(database, tenant, priority=0)
        wait_longer(database, low, 100 * 10 + 1)
        queued(database, tenant, priority=100)
        assert next_job(database) == low

    def test_tenants_share_the_workers(
        self, database: Database, tenant: str, other: str, settings: Settings
    ) -> None:
        many = [queued(database, tenant) for _ in range(4)]
        few = [queued(database, other) for _ in range(2)]
        in_turn(database, *many, *few)
        assert published(database, settings, 5) == [many[0], few[0], many[1], few[1], many[2]]

    def test_running_jobs_count_and_priority_wins_over_them(
        self, database: Database, tenant: str, other: str
    ) -> None:
        claimed(database, queued(database, tenant))
        own, foreign = queued(database, tenant), queued(database, other)
        in_turn(database, own, foreign)
        assert next_job(database) == foreign
        urgent = queued(database, tenant, priority=60)
        in_turn(database, urgent, priority=60)
        assert next_job(database) == urgent


class TestLimits:
    def test_no_more_run_than_may(self, database: Database, tenant: str, other: str) -> None:
        running, waiting = queued(database, tenant), queued(database, tenant, priority=90)
        claimed(database, running)
        foreign = queued(database, other)
        assert next_job(database, 1) == foreign
        with database.write() as session:
            limit_tenant(session, "default", {"max_running": 2})
            limit_tenant(session, "other", {"max_running": 0})
        assert next_job(database, 1) == waiting
        claimed(database, waiting)
        assert next_job(database, 1) is None
        with database.write() as session:
            limit_tenant(session, "other", {"max_running": None})
        assert next_job(database, None) == foreign

    def test_hints_under_way_count_as_running(
        self, database: Database, tenant: str, settings: Settings
    ) -> None:
        jobs = [queued(database, tenant) for _ in range(3)]
        with database.write() as session:
            limit_tenant(session, "default", {"max_running": 2})
        assert published(database, settings, 3) == jobs[:2]

    def test_of_many_claimed_at_once_no_more_start_than_may(
        self, database: Database, tenant: str, settings: Settings
    ) -> None:
        """Their hints went out before there was a limit; those refused are for the dispatcher again."""
        jobs = [queued(database, tenant) for _ in range(6)]
        assert len(published(database, settings, 6)) == 6
        with database.write() as session:
            limit_tenant(session, "default", {"max_running": 2})
        barrier, claims = threading.Barrier(6), []

        def race(job_id: str) -> None:
            barrier.wait()
            with database.write() as session:
                claims.append(leases.claim(session, job_id, f"wrk_{job_id[-4:]}", 60.0))

        threads = [threading.Thread(target=race, args=(job_id,)) for job_id in jobs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        started = [claim.lease.job_id for claim in claims if claim is not None]
        assert len(started) == 2
        assert next_job(database) is None
        with database.write() as session:
            limit_tenant(session, "default", {"max_running": 3})
        assert next_job(database) in set(jobs) - set(started)

    def test_no_more_wait_than_may(self, database: Database, tenant: str, other: str) -> None:
        with database.write() as session:
            limit_tenant(session, "default", {"max_queued": 2})
        first = queued(database, tenant)
        queued(database, tenant)
        with pytest.raises(QueueFullError):
            queued(database, tenant)
        queued(database, other)
        claimed(database, first)
        queued(database, tenant)

    def test_of_many_at_once_no_more_than_may_get_in(self, database: Database, tenant: str) -> None:
        with database.write() as session:
            limit_tenant(session, "default", {"max_queued": 3})
        barrier, refused = threading.Barrier(8), []

        def submit() -> None:
            barrier.wait()
            try:
                queued(database, tenant)
            except QueueFullError:
                refused.append(1)

        threads = [threading.Thread(target=submit) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(refused) == 5


def ten_thousand_wait(database: Database, tenant: str) -> None:
    with database.write() as session:
        model = service.enqueue(session, tenant, train_spec())
        content = {c.key: getattr(model, c.key) for c in Job.__table__.columns} | {"created_at": db_now()}
        jobs = [{**content, "id": f"job_{n:05d}", "created_at": model.created_at} for n in range(10_000)]
        session.execute(insert(Job), jobs)
        hints = [
            {
                "job_id": job["id"],
                "tenant_id": tenant,
                "queue": "train",
                "turn": AGEING_MS * n,
                "gpu": n < 9_000,
            }
            for n, job in enumerate(jobs)
        ]
        session.execute(insert(OutboxMessage), hints)


@pytest.mark.parametrize("gpu", [True, False])
def test_the_cost_does_not_grow_with_the_queue(database: Database, tenant: str, gpu: bool) -> None:
    """PostgreSQL has not counted the rows yet: it must not think that it pays to read them all."""
    ten_thousand_wait(database, tenant)
    with database.read() as session:
        connection = session.connection()
        statement = fairness.next_hint_statement("train", None, gpu=gpu).compile(
            connection, compile_kwargs={"literal_binds": True}
        )
        explain = (
            "EXPLAIN (ANALYZE, FORMAT TEXT) "
            if connection.dialect.name == "postgresql"
            else "EXPLAIN QUERY PLAN "
        )
        seen = [str(row) for row in connection.exec_driver_sql(explain + str(statement))]
    plan = "\n".join(seen)
    assert ("ix_outbox_turn " if gpu else "ix_outbox_turn_no_gpu ") in plan
    for table in ("outbox", "jobs"):
        assert f"SCAN {table}" not in plan
        assert f"Seq Scan on {table}" not in plan


def test_no_pass_walks_what_waits(database: Database, tenant: str) -> None:
    """SQLite, which counts no rows, takes an equality for rare, however many there are."""
    ten_thousand_wait(database, tenant)
    with database.read() as session:
        with statements(database.engine) as seen:
            for gpu in (True, False):
                outbox.idle_slots(session, "train", gpu=gpu)
            assert expiry.outdated(session) == []
        connection = session.connection()
        if connection.dialect.name == "sqlite":
            plans = [connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {s}", v).all() for s, v in seen]
            assert str(plans).count("ix_outbox_published") == 2
            assert "ix_outbox_turn" not in str(plans)
            assert "ix_jobs_expires_at" in str(plans)
