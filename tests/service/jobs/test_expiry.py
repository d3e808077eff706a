"""Jobs that nobody starts in time."""

import pytest
from sqlalchemy import select, update

from service.dispatcher import Dispatcher
from service.jobs import expiry, leases, service, validation
from service.jobs.tables import Job, OutboxMessage
from service.platform.clock import db_now
from service.platform.database import Database
from service.platform.settings import Settings
from tests.fixtures.jobs import claimed, events_of, queued, read_job, states_of
from tests.service.jobs.test_dispatcher import Recorder


@pytest.fixture
def dispatcher(database: Database, settings: Settings) -> Dispatcher:
    return Dispatcher(database, Recorder(), settings)


def make_outdated(database: Database, job_id: str) -> None:
    with database.write() as session:
        overdue = update(Job).where(Job.id == job_id, Job.expires_at.is_not(None))
        session.execute(overdue.values(expires_at=db_now() - 1))


def test_an_outdated_job_ends_with_its_reason_and_without_a_hint(
    database: Database, tenant: str, dispatcher: Dispatcher
) -> None:
    early, patient, late = (queued(database, tenant, expires_after_s=s) for s in (60, None, 60))
    make_outdated(database, late)
    dispatcher.once()
    assert states_of(database, late) == ["queued", "expired"]
    assert [read_job(database, job_id).state for job_id in (early, patient)] == ["queued", "queued"]
    job = read_job(database, late)
    assert job.error is not None
    assert (job.error["code"], job.error["retryable"]) == ("expired", True)
    assert "60 s" in job.error["message"]
    assert (job.finished_at is None, job.expires_at) == (False, None)
    assert events_of(database, late)[-1].type == "job.done"
    with database.read() as session:
        assert late not in session.scalars(select(OutboxMessage.job_id)).all()
    with database.write() as session:
        assert leases.claim(session, late, "wrk_late", 60.0) is None


def test_an_outdated_one_never_starts(database: Database, tenant: str) -> None:
    """Also before the dispatcher has seen that its time is over."""
    job_id = queued(database, tenant, expires_after_s=60)
    unchecked = queued(database, tenant, expires_after_s=60, architecture="torchvision:resnet18")
    for late in (job_id, unchecked):
        make_outdated(database, late)
    with database.write() as session:
        assert leases.claim(session, job_id, "wrk_late", 60.0) is None
        assert validation.claim(session, unchecked, "wrk_late", 60.0) is None


def test_the_time_counts_from_being_accepted(database: Database, tenant: str) -> None:
    job = read_job(database, queued(database, tenant, expires_after_s=90))
    assert job.expires_at is not None
    assert 89 < (job.expires_at - job.created_at).total_seconds() < 91


def test_what_has_run_once_never_expires(database: Database, tenant: str, dispatcher: Dispatcher) -> None:
    job_id = queued(database, tenant, expires_after_s=60)
    claimed(database, job_id)
    with database.write() as session:
        leases.expire_all(session)
    dispatcher.reap()
    assert read_job(database, job_id).state == "queued"
    make_outdated(database, job_id)
    dispatcher.reap()
    assert read_job(database, job_id).state == "queued"


def test_started_or_cancelled_between_being_listed_and_ended(database: Database, tenant: str) -> None:
    started, cancelled = (queued(database, tenant, expires_after_s=60) for _ in range(2))
    claimed(database, started)
    make_outdated(database, cancelled)
    with database.write() as session:
        service.cancel(session, cancelled)
        for job_id in (started, cancelled):
            expiry.expire(session, job_id)
    assert read_job(database, started).state == "running"
    assert read_job(database, cancelled).state == "cancelled"
