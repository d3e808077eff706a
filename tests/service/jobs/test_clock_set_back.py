"""The database's clock is set back by an hour: nothing waits until it is as late again."""

from typing import Any

import pytest
from sqlalchemy import BigInteger, select, type_coerce, update

from service.dispatcher import Dispatcher
from service.jobs import leases
from service.jobs.endings import Stopped, settle
from service.jobs.tables import JobAttempt, OutboxMessage, Worker
from service.jobs.workers import list_workers
from service.platform.clock import db_now
from service.platform.database import Database
from service.platform.ids import new_id
from service.platform.settings import Settings
from service.webhooks.tables import Delivery, Webhook
from tests.fixtures.jobs import claimed, queued, read_job, states_of
from tests.service.jobs.promises import pass_time
from tests.service.jobs.test_dispatcher import Recorder, add_worker

HOUR_S = 3600


@pytest.fixture
def broker() -> Recorder:
    return Recorder()


@pytest.fixture
def dispatcher(database: Database, broker: Recorder, settings: Settings) -> Dispatcher:
    return Dispatcher(database, broker, settings)


def set_back(database: Database, seconds: float) -> None:
    with database.write() as session:
        pass_time(session, -seconds)
        session.execute(update(Worker).values(heartbeat_at=db_now() + round(seconds * 1000)))


def test_a_dead_workers_job_is_taken_away_as_soon_as_ever(
    database: Database, tenant: str, dispatcher: Dispatcher, settings: Settings
) -> None:
    job_id = queued(database, tenant)
    claimed(database, job_id)
    set_back(database, HOUR_S)
    dispatcher.mend()
    with database.write() as session:
        assert leases.expired(session) == []  # the worker may live
        pass_time(session, settings.lease_ttl_s + 1)
    dispatcher.reap()
    assert states_of(database, job_id)[-2:] == ["interrupted", "queued"]


def test_an_attempt_that_ended_before_it_began_gives_no_time_back(
    database: Database, tenant: str, settings: Settings
) -> None:
    job_id = queued(database, tenant)
    claim = claimed(database, job_id)
    with database.write() as session:
        settle(session, claim.lease, Stopped("drain"), settings)
        session.execute(update(JobAttempt).values(started_at=db_now() + HOUR_S * 1000))
    assert claimed(database, job_id).spent_s == 0


def test_hints_go_out_and_may_be_claimed(
    database: Database, tenant: str, dispatcher: Dispatcher, broker: Recorder
) -> None:
    add_worker(database)
    job_id = queued(database, tenant)
    dispatcher.once()
    set_back(database, HOUR_S)
    assert dispatcher.relay("train") == 0
    dispatcher.mend()
    dispatcher.relay("train")
    assert broker.published == [(job_id, "train")] * 2
    claimed(database, job_id)


def test_a_dead_worker_falls_silent(database: Database, dispatcher: Dispatcher) -> None:
    add_worker(database)
    set_back(database, HOUR_S)
    dispatcher.mend()
    with database.write() as session:
        later = Worker.heartbeat_at - 16_000
        session.execute(update(Worker).values(heartbeat_at=later))
        assert [worker.state for worker in list_workers(session)] == ["silent"]


def test_what_is_within_reach_stays(database: Database, tenant: str, dispatcher: Dispatcher) -> None:
    waiting, running = queued(database, tenant), queued(database, tenant)
    claimed(database, running, ttl_s=600)  # by a worker with a setting of its own
    set_back(database, 59)
    before = [read_job(database, job_id) for job_id in (waiting, running)]
    dispatcher.mend()
    after = [read_job(database, job_id) for job_id in (waiting, running)]
    assert [(job.available_at, job.lease_expires_at) for job in after] == [
        (job.available_at, job.lease_expires_at) for job in before
    ]
    with database.read() as session:
        assert session.get_one(OutboxMessage, waiting).publish_at == before[0].available_at


@pytest.mark.parametrize(("tries", "longest_s"), [(0, 0), (1, 15), (2, 330), (8, 15)])
def test_messages_wait_no_longer_than_ever(
    database: Database, tenant: str, dispatcher: Dispatcher, tries: int, longest_s: float
) -> None:
    """One that nobody has tried to send is due; others wait their pause, or as long as an attempt takes."""
    message = add_message(database, tenant, tries, 1.1 * longest_s + HOUR_S)
    dispatcher.mend()
    with database.write() as session:
        due_ms, now_ms = (type_coerce(instant, BigInteger) for instant in (Delivery.due_at, db_now()))
        wait_ms = session.scalar(select(due_ms - now_ms).where(Delivery.id == message))
    assert wait_ms is not None
    assert 1000 * (longest_s - 5) < wait_ms <= 1000 * longest_s


def test_messages_that_are_to_wait_so_long_stay(
    database: Database, tenant: str, dispatcher: Dispatcher
) -> None:
    message = add_message(database, tenant, 7, 50_400)
    with database.read() as session:
        before = session.get_one(Delivery, message).due_at
    dispatcher.mend()
    with database.read() as session:
        assert session.get_one(Delivery, message).due_at == before


def add_message(database: Database, tenant: str, tries: int, due_in_s: float) -> str:
    """The id of a message that was tried so often and is due so late."""
    told = {"tenant_id": tenant, "type": "", "data": {}}
    with database.write() as session:
        webhook = Webhook(id=new_id("whk"), tenant_id=tenant, url="", events=[], salt="", secret_digest="")
        session.add(webhook)
        session.flush()
        due: Any = db_now() + round(1000 * due_in_s)
        message = Delivery(id=new_id("dlv"), webhook_id=webhook.id, tries=tries, due_at=due, **told)
        session.add(message)
        return message.id
