import threading
from contextlib import suppress

import pytest
from sqlalchemy import select, update

from core.results import MetricValue
from service.jobs import leases, service
from service.jobs.endings import Failed, Stopped, settle
from service.jobs.leases import AttemptEnd
from service.jobs.recording import Notes, record
from service.jobs.states import TERMINAL, TRANSITIONS, JobState
from service.jobs.tables import Job, JobAttempt, OutboxMessage
from service.jobs.transitions import LeaseLost, move
from service.models.tables import Metric
from service.platform.clock import db_now
from service.platform.database import Database
from service.platform.errors import AlreadyTerminalError
from service.platform.settings import Settings
from tests.fixtures.jobs import claimed, events_of, queued, read_job, states_of


def expire(database: Database, job_id: str) -> None:
    with database.write() as session:
        session.execute(update(Job).where(Job.id == job_id).values(lease_expires_at=db_now() - 1))


def reap(database: Database, job_id: str, limit: int = 20) -> None:
    with database.write() as session:
        leases.reap(session, job_id, limit)


class TestClaim:
    def test_takes_a_queued_job_once(self, database: Database, tenant: str) -> None:
        job_id = queued(database, tenant)
        claim = claimed(database, job_id)
        assert (claim.attempt, claim.lease.token, claim.kind) == (1, 1, "train")
        with database.write() as session:
            assert leases.claim(session, job_id, "wrk_other", 60.0) is None
            assert session.scalars(select(OutboxMessage)).all() == []
        job = read_job(database, job_id)
        assert job.state == "running"
        assert job.lease_expires_at is not None
        assert job.started_at is not None
        assert 59 < (job.lease_expires_at - job.started_at).total_seconds() < 62

    def test_of_many_at_once_one_wins(self, database: Database, tenant: str) -> None:
        job_id = queued(database, tenant)
        barrier, claims = threading.Barrier(8), []

        def race(number: int) -> None:
            barrier.wait()
            with database.write() as session:
                claims.append(leases.claim(session, job_id, f"wrk_{number}", 60.0))

        threads = [threading.Thread(target=race, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(claim is not None for claim in claims) == 1
        assert read_job(database, job_id).attempt == 1

    def test_not_before_it_is_available_nor_when_unknown(self, database: Database, tenant: str) -> None:
        job_id = queued(database, tenant)
        with database.write() as session:
            session.execute(update(Job).values(available_at=db_now() + 60_000))
            assert leases.claim(session, job_id, "wrk_a", 60.0) is None
            assert leases.claim(session, "job_unknown", "wrk_a", 60.0) is None


class TestFencing:
    def test_renewing_pushes_the_expiry_out(self, database: Database, tenant: str) -> None:
        claim = claimed(database, queued(database, tenant), ttl_s=1.0)
        with database.write() as session:
            assert leases.renew(session, claim.lease, 300.0) is None
            assert leases.expired(session) == []
        expires = read_job(database, claim.lease.job_id).lease_expires_at
        started = read_job(database, claim.lease.job_id).started_at
        assert expires is not None
        assert started is not None
        assert (expires - started).total_seconds() > 250

    def test_a_zombie_can_write_nothing(self, database: Database, tenant: str, settings: Settings) -> None:
        job_id = queued(database, tenant)
        zombie = claimed(database, job_id, "wrk_zombie")
        expire(database, job_id)
        reap(database, job_id)
        heir = claimed(database, job_id, "wrk_heir")
        assert heir.lease.token == zombie.lease.token + 1
        before = (read_job(database, job_id).version, len(events_of(database, job_id)))

        with database.write() as session, pytest.raises(LeaseLost):
            leases.renew(session, zombie.lease, 60.0)
        with database.write() as session, pytest.raises(LeaseLost):
            leases.hold(session, zombie.lease)
        with database.write() as session, pytest.raises(LeaseLost):
            settle(session, zombie.lease, Failed("x", "y", "user"), settings)
        notes = Notes(metrics=[MetricValue(name="loss", value=1.0)])
        with database.write() as session, pytest.raises(LeaseLost):
            record(session, zombie.lease, 1, notes)
        with database.write() as session:
            assert move(session, job_id, JobState.SUCCEEDED, lease=zombie.lease) is None

        assert (read_job(database, job_id).version, len(events_of(database, job_id))) == before
        with database.read() as session:
            assert session.scalars(select(Metric)).all() == []
            record(session, heir.lease, 2, notes)  # the heir still can

    def test_a_reaped_job_is_out_of_reach_before_anybody_claims_it(
        self, database: Database, tenant: str
    ) -> None:
        job_id = queued(database, tenant)
        claim = claimed(database, job_id)
        expire(database, job_id)
        reap(database, job_id)
        with database.write() as session, pytest.raises(LeaseLost):
            leases.hold(session, claim.lease)


class TestReap:
    def test_queues_the_job_again_with_a_hint(self, database: Database, tenant: str) -> None:
        job_id = queued(database, tenant)
        claimed(database, job_id)
        expire(database, job_id)
        reap(database, job_id)
        assert states_of(database, job_id) == ["queued", "running", "interrupted", "queued"]
        with database.read() as session:
            assert session.scalars(select(OutboxMessage.job_id)).all() == [job_id]
            attempt = session.scalars(select(JobAttempt)).one()
        assert (attempt.outcome, attempt.cause) == ("lost", "infra")
        assert attempt.finished_at is not None

    def test_leaves_a_live_lease_alone(self, database: Database, tenant: str) -> None:
        job_id = queued(database, tenant)
        claimed(database, job_id)
        reap(database, job_id)
        assert read_job(database, job_id).state == "running"

    def test_finishes_a_cancellation_whose_worker_died(self, database: Database, tenant: str) -> None:
        job_id = queued(database, tenant)
        claimed(database, job_id)
        with database.write() as session:
            service.cancel(session, job_id)
        expire(database, job_id)
        reap(database, job_id)
        assert read_job(database, job_id).state == "cancelled"

    def test_fails_the_job_at_the_limit(self, database: Database, tenant: str) -> None:
        job_id = queued(database, tenant)
        for _ in range(2):
            claimed(database, job_id)
            expire(database, job_id)
            reap(database, job_id, limit=2)
        job = read_job(database, job_id)
        assert job.state == "failed"
        assert job.error is not None
        assert job.error["code"] == "worker_lost"


class TestCancel:
    def test_a_waiting_job_ends_at_once(self, database: Database, tenant: str) -> None:
        job_id = queued(database, tenant)
        with database.write() as session:
            job, first = service.cancel(session, job_id)
            assert (job.state, first) == ("cancelled", True)
            assert session.scalars(select(OutboxMessage)).all() == []
        with database.write() as session:
            assert leases.claim(session, job_id, "wrk_a", 60.0) is None
        with database.write() as session, pytest.raises(AlreadyTerminalError):
            service.cancel(session, job_id)

    def test_a_running_job_is_asked_and_its_worker_told(
        self, database: Database, tenant: str, settings: Settings
    ) -> None:
        job_id = queued(database, tenant)
        claim = claimed(database, job_id)
        with database.write() as session:
            assert leases.stop_wish(session, claim.lease) is None
            assert service.cancel(session, job_id)[1] is True
        with database.write() as session:
            assert service.cancel(session, job_id)[1] is False
            assert leases.stop_wish(session, claim.lease) == "cancel"
            assert leases.renew(session, claim.lease, 60.0) == "cancel"
        with database.write() as session:  # the worker still may write its last checkpoint
            record(session, claim.lease, 1, Notes(progress={"phase": "train"}))
            assert settle(session, claim.lease, Stopped("cancel"), settings) is JobState.CANCELLED
        assert states_of(database, job_id) == ["queued", "running", "cancelling", "cancelled"]


class TestStory:
    def test_events_are_numbered_without_gaps_and_versions_grow(
        self, database: Database, tenant: str
    ) -> None:
        job_id = queued(database, tenant)
        claim = claimed(database, job_id)
        versions = [read_job(database, job_id).version]
        for step in range(3):
            with database.write() as session:
                record(session, claim.lease, 1, Notes(progress={"phase": "train", "step": step}))
            versions.append(read_job(database, job_id).version)
        with database.write() as session:
            job = leases.hold(session, claim.lease)
            leases.end_attempt(session, job, AttemptEnd("succeeded"))
            move(session, job_id, JobState.SUCCEEDED, lease=claim.lease, result={"model_id": "mdl_1"})
        numbers = [event.seq for event in events_of(database, job_id)]
        assert numbers == list(range(1, len(numbers) + 1))
        assert versions == sorted(set(versions))
        assert events_of(database, job_id)[-1].type == "job.done"

    def test_a_rolled_back_change_leaves_no_trace(self, database: Database, tenant: str) -> None:
        job_id = queued(database, tenant)
        with suppress(RuntimeError), database.write() as session:
            service.cancel(session, job_id)
            raise RuntimeError
        assert states_of(database, job_id) == ["queued"]

    def test_time_spent_in_earlier_attempts_counts(
        self, database: Database, tenant: str, settings: Settings
    ) -> None:
        job_id = queued(database, tenant)
        first = claimed(database, job_id)
        with database.write() as session:
            session.execute(update(JobAttempt).values(started_at=db_now() - 90_000))
            settle(session, first.lease, Stopped("drain"), settings)
        assert 89 < claimed(database, job_id).spent_s < 95


def test_terminal_states_lead_nowhere() -> None:
    assert {state for state, targets in TRANSITIONS.items() if not targets} == TERMINAL
