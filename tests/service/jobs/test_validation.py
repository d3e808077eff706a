"""pending -> validating -> queued: what only an engine can check is checked before it is queued."""

import pytest
from sqlalchemy import delete, select, update

from service.dispatcher import Dispatcher
from service.jobs import leases, outbox, pausing, service, validation
from service.jobs.endings import Crashed, Ending, Failed, Stopped
from service.jobs.leases import Claim
from service.jobs.states import JobState
from service.jobs.tables import Job, JobAttempt, OutboxMessage
from service.jobs.transitions import LeaseLost
from service.jobs.validation import Checked
from service.platform.clock import db_now
from service.platform.database import Database
from service.platform.settings import Settings
from tests.fixtures.jobs import claimed, events_of, queued, read_job, states_of
from tests.service.jobs.test_dispatcher import Recorder, add_worker

FOREIGN = {"architecture": "torchvision:resnet18"}


def check_claimed(database: Database, job_id: str, owner: str = "wrk_short") -> Claim:
    with database.write() as session:
        claim = validation.claim(session, job_id, owner, 60.0)
    assert claim is not None
    return claim


def settle(database: Database, claim: Claim, ending: Checked | Ending) -> JobState:
    with database.write() as session:
        return validation.settle(session, claim.lease, ending)


def hints(database: Database) -> list[tuple[str, str]]:
    with database.read() as session:
        rows = session.execute(select(OutboxMessage.job_id, OutboxMessage.queue))
        return [(job_id, queue) for job_id, queue in rows]


def lose_lease(database: Database, job_id: str, limit: int = 20) -> None:
    with database.write() as session:
        leases.expire_all(session)
        leases.reap(session, job_id, limit)


class TestCheck:
    def test_only_what_needs_an_engine_waits_for_one(self, database: Database, tenant: str) -> None:
        own, foreign = queued(database, tenant), queued(database, tenant, **FOREIGN)
        assert read_job(database, own).state == "queued"
        job = read_job(database, foreign)
        assert (job.state, job.queued_at) == ("pending", None)
        assert sorted(hints(database)) == sorted([(own, "train"), (foreign, "short")])

    def test_a_good_one_is_queued_for_training(self, database: Database, tenant: str) -> None:
        job_id = queued(database, tenant, **FOREIGN)
        with database.write() as session:
            assert leases.claim(session, job_id, "wrk_train", 60.0) is None
        claim = check_claimed(database, job_id)
        assert hints(database) == []
        with database.write() as session:
            assert validation.claim(session, job_id, "wrk_other", 60.0) is None
            assert leases.renew(session, claim.lease, 60.0) is None
        assert settle(database, claim, Checked()) is JobState.QUEUED
        assert hints(database) == [(job_id, "train")]
        assert read_job(database, job_id).queued_at is not None
        with database.write() as session:  # a late hint to check it reaches a short worker
            assert validation.claim(session, job_id, "wrk_short", 60.0) is None
            assert leases.claim(session, job_id, "wrk_short", 60.0, ("short",)) is None
        assert claimed(database, job_id).attempt == 1
        assert states_of(database, job_id) == ["pending", "validating", "queued", "running"]

    def test_the_users_mistake_ends_it_without_an_attempt(self, database: Database, tenant: str) -> None:
        job_id = queued(database, tenant, **FOREIGN)
        ending = Failed("untraceable_model", "line 7", "user")
        assert settle(database, check_claimed(database, job_id), ending) is JobState.FAILED
        job = read_job(database, job_id)
        assert job.error is not None
        assert (job.error["code"], job.error["cause"], job.attempt) == ("untraceable_model", "user", 0)
        assert (job.lease_owner, hints(database)) == (None, [])

    @pytest.mark.parametrize(
        "ending",
        [
            Crashed(-9),
            Stopped("timeout"),
            Failed("oom", "No memory.", "oom"),
            Failed("package_missing", "timm is not installed.", "user"),
        ],
    )
    def test_what_cannot_be_checked_is_left_to_the_training(
        self, database: Database, tenant: str, ending: Ending
    ) -> None:
        job_id = queued(database, tenant, **FOREIGN)
        assert settle(database, check_claimed(database, job_id), ending) is JobState.QUEUED
        assert "could not be checked" in str([event.data for event in events_of(database, job_id)])
        with database.read() as session:
            assert session.scalars(select(JobAttempt)).all() == []

    def test_a_drain_leaves_it_to_another_worker(self, database: Database, tenant: str) -> None:
        job_id = queued(database, tenant, **FOREIGN)
        assert settle(database, check_claimed(database, job_id), Stopped("drain")) is JobState.PENDING
        assert hints(database) == [(job_id, "short")]


class TestLoss:
    def test_a_killed_validator_writes_nothing_and_another_checks_anew(
        self, database: Database, tenant: str
    ) -> None:
        job_id = queued(database, tenant, **FOREIGN)
        zombie = check_claimed(database, job_id)
        lose_lease(database, job_id)
        assert read_job(database, job_id).state == "pending"
        assert hints(database) == [(job_id, "short")]
        heir = check_claimed(database, job_id, "wrk_heir")
        assert heir.lease.token == zombie.lease.token + 1
        with pytest.raises(LeaseLost):
            settle(database, zombie, Failed("untraceable_model", "line 7", "user"))
        assert settle(database, heir, Checked()) is JobState.QUEUED

    def test_too_many_losses_end_it(self, database: Database, tenant: str) -> None:
        job_id = queued(database, tenant, **FOREIGN)
        for _ in range(2):
            check_claimed(database, job_id)
            lose_lease(database, job_id, limit=2)
        job = read_job(database, job_id)
        assert job.error is not None
        assert (job.state, job.error["code"], job.error["attempt"]) == ("failed", "worker_lost", 0)
        assert "checks were lost" in job.error["message"]

    def test_each_is_followed_by_a_longer_pause(self, database: Database, tenant: str) -> None:
        job_id = queued(database, tenant, **FOREIGN)
        for pause_s in (0, 1, 2):
            check_claimed(database, job_id)
            lose_lease(database, job_id)
            job = read_job(database, job_id)
            with database.write() as session:
                hint = session.get_one(OutboxMessage, job_id)
                assert hint.publish_at == job.available_at
                now = session.scalar(select(db_now()))
                assert now is not None
                assert pause_s - 1 < (job.available_at - now).total_seconds() <= pause_s
                if pause_s:
                    assert validation.claim(session, job_id, "wrk_early", 60.0) is None
                session.execute(update(Job).values(available_at=db_now()))

    def test_drains_and_pauses_are_none(self, database: Database, tenant: str) -> None:
        job_id = queued(database, tenant, **FOREIGN)
        for _ in range(3):
            settle(database, check_claimed(database, job_id), Stopped("drain"))
            check_claimed(database, job_id)
            with database.write() as session:
                pausing.pause(session, job_id)
                pausing.resume(session, job_id)
        check_claimed(database, job_id)
        lose_lease(database, job_id, limit=2)
        job = read_job(database, job_id)
        assert (job.state, job.checks_lost) == ("pending", 1)

    def test_cancelling_takes_the_check_away(self, database: Database, tenant: str) -> None:
        job_id = queued(database, tenant, **FOREIGN)
        claim = check_claimed(database, job_id)
        with database.write() as session:
            assert service.cancel(session, job_id)[0].state == "cancelled"
        with pytest.raises(LeaseLost):
            settle(database, claim, Checked())

    def test_pausing_takes_it_away_and_resuming_asks_for_it_again(
        self, database: Database, tenant: str
    ) -> None:
        job_id = queued(database, tenant, **FOREIGN)
        with database.write() as session:
            assert pausing.pause(session, job_id)[0].state == "pending"
            assert pausing.resume(session, job_id)[0].state == "pending"
        assert hints(database) == [(job_id, "short")]
        claim = check_claimed(database, job_id)
        with database.write() as session:
            pausing.pause(session, job_id)
            assert validation.claim(session, job_id, "wrk_other", 60.0) is None
        assert hints(database) == []
        with pytest.raises(LeaseLost):
            settle(database, claim, Checked())
        with database.write() as session:
            assert pausing.resume(session, job_id)[0].queued_at is None
        assert settle(database, check_claimed(database, job_id), Checked()) is JobState.QUEUED


def test_the_dispatcher_sends_it_to_a_short_worker_and_finds_it_without_a_hint(
    database: Database, tenant: str, settings: Settings
) -> None:
    broker = Recorder()
    add_worker(database, "train")
    add_worker(database, "short")
    job_id = queued(database, tenant, **FOREIGN)
    with database.write() as session:
        session.execute(delete(OutboxMessage))
    Dispatcher(database, broker, settings).once()
    assert broker.published == [(job_id, "short")]
    check_claimed(database, job_id, owner="wrk_short1")
    with database.read() as session:
        assert [outbox.idle_slots(session, queue) for queue in ("train", "short")] == [1, 0]
