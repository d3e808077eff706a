"""Pause and resume, and every race they can be in."""

import threading

import pytest
from sqlalchemy import select, update

from service.jobs import expiry, leases, outbox, pausing, service
from service.jobs.endings import Crashed, Ending, Failed, Stopped, settle
from service.jobs.leases import Claim
from service.jobs.states import JobState
from service.jobs.tables import Job, JobAttempt, OutboxMessage
from service.jobs.transitions import move
from service.platform.clock import db_now
from service.platform.database import Database
from service.platform.errors import AlreadyTerminalError, ConflictError, NotFoundError
from service.platform.settings import Settings
from tests.fixtures.jobs import claimed, events_of, queued, read_job, states_of


def pause(database: Database, job_id: str) -> bool:
    with database.write() as session:
        return pausing.pause(session, job_id)[1]


def resume(database: Database, job_id: str) -> bool:
    with database.write() as session:
        return pausing.resume(session, job_id)[1]


def ended(database: Database, claim: Claim, ending: Ending, settings: Settings) -> str:
    with database.write() as session:
        return settle(session, claim.lease, ending, settings).value


def status(database: Database, job_id: str) -> tuple[str, bool]:
    job = read_job(database, job_id)
    return job.state, job.paused_at is not None


def hinted(database: Database) -> list[str]:
    with database.read() as session:
        return list(session.scalars(select(OutboxMessage.job_id)))


def claimable(database: Database, job_id: str) -> bool:
    with database.write() as session:
        return leases.claim(session, job_id, "wrk_any", 60.0) is not None


class TestWaiting:
    def test_is_held_back_at_once_until_resumed(self, database: Database, tenant: str) -> None:
        job_id = queued(database, tenant)
        assert [pause(database, job_id), pause(database, job_id)] == [True, False]
        assert status(database, job_id) == ("pending", True)
        assert hinted(database) == []
        with database.read() as session:
            assert outbox.stranded(session) == []
        assert not claimable(database, job_id)
        assert [resume(database, job_id), resume(database, job_id)] == [True, False]
        assert status(database, job_id) == ("queued", False)
        assert hinted(database) == [job_id]
        assert states_of(database, job_id) == ["queued", "pending", "queued"]
        assert events_of(database, job_id)[1].data == {"state": "pending", "paused": True}
        assert claimable(database, job_id)

    def test_a_delayed_retry_is_held_back_too(
        self, database: Database, tenant: str, settings: Settings
    ) -> None:
        job_id = queued(database, tenant)
        claim = claimed(database, job_id)
        assert ended(database, claim, Failed("internal_error", "A fault.", "internal"), settings) == "queued"
        pause(database, job_id)
        assert (status(database, job_id), hinted(database)) == (("pending", True), [])

    def test_can_be_cancelled_and_can_expire(self, database: Database, tenant: str) -> None:
        first, second = (queued(database, tenant, expires_after_s=60) for _ in range(2))
        pause(database, first)
        pause(database, second)
        with database.write() as session:
            assert service.cancel(session, first)[0].state == "cancelled"
            session.execute(update(Job).where(Job.id == second).values(expires_at=db_now() - 1))
            expiry.expire(session, second)
        assert [status(database, job_id) for job_id in (first, second)] == [
            ("cancelled", False),
            ("expired", False),
        ]

    def test_nothing_that_is_not_there(self, database: Database) -> None:
        with database.write() as session, pytest.raises(NotFoundError):
            pausing.pause(session, "job_unknown")


class TestRunning:
    def test_stops_without_being_charged_and_goes_on_when_resumed(
        self, database: Database, tenant: str, settings: Settings
    ) -> None:
        job_id = queued(database, tenant)
        claim = claimed(database, job_id)
        assert [pause(database, job_id), pause(database, job_id)] == [True, False]
        assert status(database, job_id) == ("running", True)
        with database.write() as session:
            assert leases.stop_wish(session, claim.lease) == "pause"
            assert leases.renew(session, claim.lease, 60.0) == "pause"
        assert ended(database, claim, Stopped("pause"), settings) == "pending"
        assert status(database, job_id) == ("pending", True)
        assert hinted(database) == []
        with database.read() as session:
            attempt = session.scalars(select(JobAttempt)).one()
            assert (attempt.outcome, attempt.message) == ("interrupted", "The job was paused.")
            assert attempt.cause is None  # causes are what is charged
        assert resume(database, job_id)
        assert claimed(database, job_id).attempt == 2
        assert states_of(database, job_id) == [
            "queued", "running", "running", "interrupted", "pending", "queued", "running"
        ]  # fmt: skip

    def test_a_job_that_ends_first_is_over(self, database: Database, tenant: str) -> None:
        job_id = queued(database, tenant)
        claim = claimed(database, job_id)
        pause(database, job_id)
        with database.write() as session:
            assert move(session, job_id, JobState.SUCCEEDED, lease=claim.lease, result={}) is not None
        assert status(database, job_id) == ("succeeded", False)
        for act in (pause, resume):
            with pytest.raises(AlreadyTerminalError):
                act(database, job_id)

    def test_a_cancellation_wins(self, database: Database, tenant: str, settings: Settings) -> None:
        job_id = queued(database, tenant)
        claim = claimed(database, job_id)
        pause(database, job_id)
        with database.write() as session:
            assert service.cancel(session, job_id)[1] is True
            assert leases.stop_wish(session, claim.lease) == "cancel"
        for act in (pause, resume):
            with pytest.raises(ConflictError):
                act(database, job_id)
        assert ended(database, claim, Stopped("pause"), settings) == "cancelled"
        assert status(database, job_id) == ("cancelled", False)

    def test_resumed_before_it_has_stopped(self, database: Database, tenant: str, settings: Settings) -> None:
        unasked, asked = queued(database, tenant), queued(database, tenant)
        claims = [claimed(database, job_id) for job_id in (unasked, asked)]
        for job_id in (unasked, asked):
            pause(database, job_id)
            assert resume(database, job_id)
            assert status(database, job_id) == ("running", False)
        with database.write() as session:
            assert leases.stop_wish(session, claims[0].lease) is None
        assert ended(database, claims[1], Stopped("pause"), settings) == "queued"
        assert hinted(database) == [asked]

    @pytest.mark.parametrize("ending", [Crashed(-9), Stopped("drain"), Failed("oops", "Oops.", "internal")])
    def test_whatever_else_ends_the_attempt_it_stays_paused(
        self, database: Database, tenant: str, settings: Settings, ending: Ending
    ) -> None:
        job_id = queued(database, tenant)
        claim = claimed(database, job_id)
        pause(database, job_id)
        assert ended(database, claim, ending, settings) == "pending"
        assert (status(database, job_id), hinted(database)) == (("pending", True), [])

    def test_a_worker_that_dies_meanwhile(self, database: Database, tenant: str) -> None:
        job_id = queued(database, tenant)
        claimed(database, job_id)
        pause(database, job_id)
        with database.write() as session:
            leases.expire_all(session)
            leases.reap(session, job_id, 20)
        assert (status(database, job_id), hinted(database)) == (("pending", True), [])
        assert states_of(database, job_id)[-2:] == ["interrupted", "pending"]
        assert resume(database, job_id)
        assert claimed(database, job_id).attempt == 2


def test_pausing_resuming_and_claiming_at_once_leaves_one_whole_story(
    database: Database, tenant: str
) -> None:
    job_id = queued(database, tenant)
    barrier, claims = threading.Barrier(9), []

    def claim(owner: str) -> bool:
        with database.write() as session:
            claims.append(leases.claim(session, job_id, owner, 60.0))
        return claims[-1] is not None

    acts = [lambda: pause(database, job_id), lambda: resume(database, job_id), lambda: claim("wrk_a")] * 3

    def race(number: int) -> None:
        barrier.wait()
        for turn in range(9):
            acts[(number + turn) % len(acts)]()

    threads = [threading.Thread(target=race, args=(number,)) for number in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    numbers = [event.seq for event in events_of(database, job_id)]
    assert numbers == list(range(1, len(numbers) + 1))
    state, paused = status(database, job_id)
    assert sum(found is not None for found in claims) == read_job(database, job_id).attempt <= 1
    assert (state, paused) in {("running", True), ("running", False), ("pending", True), ("queued", False)}
    assert hinted(database) == ([job_id] if state == "queued" else [])
