"""Outbox to broker: order, number and repetition of hints; expired leases; one dispatcher at a time."""

import pytest
from kombu.exceptions import OperationalError as BrokerError
from sqlalchemy import delete, select, update

from service.dispatcher import Dispatcher
from service.jobs import leases, outbox
from service.jobs.endings import Failed, settle
from service.jobs.tables import IdempotencyRecord, Job, OutboxMessage, Worker
from service.platform.clock import db_now
from service.platform.database import Database
from service.platform.settings import Settings
from service.queue import CeleryPublisher, create_celery, prepare_broker
from tests.fixtures.jobs import claimed, queued, read_job, states_of


class Recorder:
    """A publisher that keeps what it is given; a broker's side of the contract, seen from outside."""

    def __init__(self) -> None:
        self.published: list[tuple[str, str]] = []
        self.away = False

    def publish(self, job_id: str, queue: str) -> None:
        if self.away:
            raise BrokerError("nobody there")
        self.published.append((job_id, queue))

    def check(self) -> None:
        if self.away:
            raise BrokerError("nobody there")


def add_worker(database: Database, queue: str = "train", number: int = 1, silent_ms: int = 0) -> None:
    with database.write() as session:
        worker = Worker(id=f"wrk_{queue}{number}", hostname="h", pid=number, queues=[queue])
        session.add(worker)
        session.flush()
        worker.heartbeat_at = db_now() - silent_ms


def make_due(database: Database) -> None:
    with database.write() as session:
        session.execute(update(OutboxMessage).values(publish_at=db_now() - 1))


@pytest.fixture
def broker() -> Recorder:
    return Recorder()


@pytest.fixture
def dispatcher(database: Database, broker: Recorder, settings: Settings) -> Dispatcher:
    return Dispatcher(database, broker, settings)


class TestRelay:
    def test_publishes_to_an_idle_worker_and_again_only_when_unclaimed_for_long(
        self, database: Database, tenant: str, dispatcher: Dispatcher, broker: Recorder
    ) -> None:
        add_worker(database)
        job_id = queued(database, tenant)
        dispatcher.once()
        dispatcher.once()
        assert broker.published == [(job_id, "train")]
        make_due(database)
        dispatcher.once()
        assert broker.published == [(job_id, "train")] * 2
        claimed(database, job_id)
        dispatcher.once()
        assert len(broker.published) == 2

    def test_larger_priority_first_then_the_longest_waiting(
        self, database: Database, tenant: str, dispatcher: Dispatcher, broker: Recorder
    ) -> None:
        low, first, second = (queued(database, tenant, priority=p) for p in (10, 50, 50))
        high = queued(database, tenant, priority=90)
        for number in range(4):
            add_worker(database, number=number)
        dispatcher.once()
        assert [job_id for job_id, _ in broker.published] == [high, first, second, low]

    def test_sends_no_more_hints_than_there_are_idle_workers(
        self, database: Database, tenant: str, dispatcher: Dispatcher, broker: Recorder
    ) -> None:
        jobs = [queued(database, tenant) for _ in range(3)]
        dispatcher.once()
        assert broker.published == []
        add_worker(database)
        add_worker(database, number=2, silent_ms=60_000)
        add_worker(database, "short")
        dispatcher.once()
        assert broker.published == [(jobs[0], "train")]
        claimed(database, jobs[0], owner="wrk_train1")
        dispatcher.once()
        assert len(broker.published) == 1
        with database.write() as session:
            leases.expire_all(session)
        dispatcher.reap()
        dispatcher.once()
        assert len(broker.published) == 2

    def test_a_broker_that_is_away_loses_nothing(
        self, database: Database, tenant: str, dispatcher: Dispatcher, broker: Recorder
    ) -> None:
        add_worker(database)
        job_id = queued(database, tenant)
        broker.away = True
        with pytest.raises(BrokerError):
            dispatcher.once()
        broker.away = False
        dispatcher.once()
        assert broker.published == [(job_id, "train")]

    def test_a_newer_hint_is_not_taken_for_the_one_that_was_published(
        self, database: Database, tenant: str, settings: Settings
    ) -> None:
        """The worker was faster than the note that the hint went out."""
        add_worker(database)
        job_id = queued(database, tenant)

        class AtOnce(Recorder):
            def publish(self, job_id: str, queue: str) -> None:  # noqa: ARG002
                claim = claimed(database, job_id)
                with database.write() as session:
                    settle(session, claim.lease, Failed("internal_error", "A fault.", "internal"), settings)

        assert Dispatcher(database, AtOnce(), settings).relay("train") == 1
        with database.read() as session:
            hint = session.get_one(OutboxMessage, job_id)
        assert (hint.published, hint.publish_at) == (0, read_job(database, job_id).available_at)


class TestBroker:
    def test_one_that_is_away_is_told_of_before_a_job_has_to_wait(
        self, database: Database, dispatcher: Dispatcher, broker: Recorder
    ) -> None:
        del database
        broker.away = True
        for _ in range(2):  # at each pass, until it answers
            with pytest.raises(BrokerError):
                dispatcher.once()
        broker.away = False
        dispatcher.once()
        broker.away = True
        dispatcher.once()  # asked a moment ago

    @pytest.mark.services
    def test_the_real_ones(self, settings: Settings) -> None:
        prepare_broker(settings)
        CeleryPublisher(create_celery(settings)).check()
        away = settings.model_copy(update={"broker_url": "redis://127.0.0.1:1/0"})
        with pytest.raises(BrokerError):
            CeleryPublisher(create_celery(away)).check()


class TestCare:
    def test_a_new_start_publishes_again_what_was_under_way_and_keeps_delays(
        self, database: Database, tenant: str, dispatcher: Dispatcher, broker: Recorder, settings: Settings
    ) -> None:
        under_way, failed = queued(database, tenant), queued(database, tenant)
        claim = claimed(database, failed)
        with database.write() as session:
            settle(session, claim.lease, Failed("internal_error", "A fault.", "internal"), settings)
            # A delay that no slow machine outlasts.
            later = update(OutboxMessage).where(OutboxMessage.job_id == failed)
            session.execute(later.values(publish_at=db_now() + 600_000))
        for number in range(3):
            add_worker(database, number=number)
        dispatcher.once()
        with database.write() as session:
            leases.expire_all(session)
        dispatcher.once()
        assert [job_id for job_id, _ in broker.published] == [under_way, under_way]

    def test_reaps_expired_leases(self, database: Database, tenant: str, dispatcher: Dispatcher) -> None:
        job_id = queued(database, tenant)
        claimed(database, job_id)
        with database.write() as session:
            leases.expire_all(session)
        dispatcher.reap()
        assert states_of(database, job_id)[-2:] == ["interrupted", "queued"]

    def test_mends_a_queued_job_without_a_hint(
        self, database: Database, tenant: str, dispatcher: Dispatcher, broker: Recorder
    ) -> None:
        add_worker(database)
        job_id = queued(database, tenant)
        with database.write() as session:
            session.execute(delete(OutboxMessage))
        dispatcher.once()
        assert broker.published == [(job_id, "train")]

    def test_mends_an_interrupted_job(self, database: Database, tenant: str, dispatcher: Dispatcher) -> None:
        job_id = queued(database, tenant)
        claimed(database, job_id)
        with database.write() as session:
            no_lease = {"lease_owner": None, "lease_expires_at": None}
            session.execute(update(Job).values(state="interrupted", **no_lease))
        dispatcher.mend()
        assert read_job(database, job_id).state == "queued"

    def test_a_row_that_the_database_refuses_waits_and_stops_nothing_else(
        self, database: Database, tenant: str, dispatcher: Dispatcher, caplog: pytest.LogCaptureFixture
    ) -> None:
        lost = [queued(database, tenant), queued(database, tenant)]
        outdated = [queued(database, tenant, expires_after_s=60) for _ in range(2)]
        stranded = [queued(database, tenant), queued(database, tenant)]
        for job_id in (*lost, *stranded):
            claimed(database, job_id)
        bad, good = zip(lost, outdated, stranded, strict=True)
        with database.write() as session:
            session.execute(update(Job).where(Job.id.in_(lost)).values(lease_expires_at=1))
            session.execute(update(Job).where(Job.id.in_(outdated)).values(expires_at=1))
            no_lease = {"state": "interrupted", "lease_owner": None, "lease_expires_at": None}
            session.execute(update(Job).where(Job.id.in_(stranded)).values(no_lease))
            # The next event of these gets a number that is taken.
            bad_rows = update(Job).where(Job.id.in_(bad))
            session.execute(bad_rows.values(event_seq=Job.event_seq - 1))
        with caplog.at_level("INFO", logger="service.dispatcher"):
            for duty in (dispatcher.reap, dispatcher.mend) * 2:
                duty()
            assert [read_job(database, job_id).state for job_id in good] == ["queued", "expired", "queued"]
            assert [read_job(database, job_id).state for job_id in bad] == [
                "running",
                "queued",
                "interrupted",
            ]
            assert [m.split(",")[0] for m in caplog.messages if "trouble" in m] == [
                f"trouble with {b}" for b in bad
            ]
            with database.write() as session:
                session.execute(bad_rows.values(event_seq=Job.event_seq + 1))
            dispatcher.reap()
            dispatcher.mend()
        assert [read_job(database, job_id).state for job_id in bad] == ["queued", "expired", "queued"]
        assert caplog.messages[-1] == f"trouble with {bad[-1]} is over"

    def test_forgets_old_records_only(self, database: Database, tenant: str) -> None:
        add_worker(database, number=1)
        add_worker(database, number=2, silent_ms=2 * outbox.WORKER_FORGOTTEN_MS)
        record = {"tenant_id": tenant, "route": "/r", "fingerprint": "f", "status": 202, "body": {}}
        with database.write() as session:
            session.add(IdempotencyRecord(key="new", **record))
            session.add(IdempotencyRecord(key="old", **record))
            session.flush()
            old = update(IdempotencyRecord).where(IdempotencyRecord.key == "old")
            session.execute(old.values(created_at=db_now() - 2 * outbox.IDEMPOTENCY_KEPT_MS))
        outbox.forget(database)
        with database.read() as session:
            assert session.scalars(select(IdempotencyRecord.key)).all() == ["new"]
            assert session.scalars(select(Worker.pid)).all() == [1]
