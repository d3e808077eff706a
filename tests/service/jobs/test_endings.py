"""How an attempt ended, and what that means for its job."""

from sqlalchemy import update

from service.jobs import leases
from service.jobs.endings import Crashed, Failed, Stopped, settle
from service.jobs.states import JobState
from service.jobs.tables import Checkpoint, Job
from service.platform.clock import db_now
from service.platform.database import Database
from service.platform.settings import Settings
from tests.fixtures.jobs import claimed, events_of, queued, read_job


class TestSettle:
    def crash(self, database: Database, job_id: str, settings: Settings, checkpoint: bool) -> str:
        claim = claimed(database, job_id)
        with database.write() as session:
            if checkpoint:
                session.add(
                    Checkpoint(
                        job_id=job_id,
                        path=f"c{claim.attempt}",
                        attempt=claim.attempt,
                        sha256="0" * 64,
                        epoch=claim.attempt,
                        step=1,
                    )
                )
            return settle(session, claim.lease, Crashed(-9), settings).value

    def test_a_crash_is_tried_again_unless_it_repeats_without_progress(
        self, database: Database, tenant: str, settings: Settings
    ) -> None:
        job_id = queued(database, tenant)
        states = [self.crash(database, job_id, settings, checkpoint=n == 1) for n in range(5)]
        assert states == ["queued", "queued", "queued", "queued", "failed"]
        job = read_job(database, job_id)
        assert job.error is not None
        assert job.error["code"] == "crash_loop"
        assert "signal 9" in job.error["message"]

    def test_the_users_fault_is_not_tried_again(
        self, database: Database, tenant: str, settings: Settings
    ) -> None:
        job_id = queued(database, tenant)
        claim = claimed(database, job_id)
        ending = Failed("data_root_missing", "No data root.", "user")
        with database.write() as session:
            assert settle(session, claim.lease, ending, settings) is JobState.FAILED
        job = read_job(database, job_id)
        assert job.error == {
            "code": "data_root_missing",
            "cause": "user",
            "message": "No data root.",
            "retryable": False,
            "attempt": 1,
        }
        done = events_of(database, job_id)[-1]
        assert (done.type, done.data["error"]) == ("job.done", job.error)

    def test_other_failures_are_tried_again_later_up_to_the_limit(
        self, database: Database, tenant: str, settings: Settings
    ) -> None:
        job_id = queued(database, tenant)
        states = []
        for _ in range(settings.max_attempts):
            claim = claimed(database, job_id)
            with database.write() as session:
                failed = Failed("out_of_memory", "No memory.", "oom")
                states.append(settle(session, claim.lease, failed, settings).value)
            with database.write() as session:
                if states[-1] == "queued":
                    assert leases.claim(session, job_id, "wrk_early", 60.0) is None
                session.execute(update(Job).values(available_at=db_now()))
        assert states == ["queued", "queued", "failed"]

    def test_a_drained_job_is_queued_and_not_charged(
        self, database: Database, tenant: str, settings: Settings
    ) -> None:
        job_id = queued(database, tenant)
        claim = claimed(database, job_id)
        with database.write() as session:
            assert settle(session, claim.lease, Stopped("drain"), settings) is JobState.QUEUED
            assert leases.lost_attempts(session, job_id) == leases.failed_attempts(session, job_id) == 0

    def test_running_too_long_fails(self, database: Database, tenant: str, settings: Settings) -> None:
        job_id = queued(database, tenant, max_runtime_s=5)
        claim = claimed(database, job_id)
        with database.write() as session:
            assert settle(session, claim.lease, Stopped("timeout"), settings) is JobState.FAILED
        job = read_job(database, job_id)
        assert job.error is not None
        assert (job.error["code"], job.error["cause"]) == ("timeout", "timeout")
