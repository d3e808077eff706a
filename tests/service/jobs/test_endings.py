"""How an attempt ended, and what that means for its job."""

import pytest
from sqlalchemy import select, update

from service.jobs.endings import Crashed, Ending, Failed, Stalled, Stopped, settle
from service.jobs.states import JobState
from service.jobs.tables import Checkpoint, Job, JobAttempt
from service.platform.clock import db_now
from service.platform.database import Database
from service.platform.settings import Settings
from tests.fixtures.jobs import claimed, events_of, queued, read_job


class TestSettle:
    def test_a_crash_is_tried_again_unless_it_repeats_without_progress(
        self, database: Database, tenant: str, settings: Settings
    ) -> None:
        job_id = queued(database, tenant)
        states = [self.end(database, job_id, Crashed(-9), settings, n == 1)[0] for n in range(5)]
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

    @pytest.mark.parametrize(
        ("cause", "states"),
        [
            ("user", ["failed"]),
            ("oom", ["failed"]),
            ("internal", ["queued", "queued", "failed"]),
        ],
    )
    def test_a_failure_is_tried_again_as_often_as_its_cause_allows(
        self, database: Database, tenant: str, settings: Settings, cause: str, states: list[str]
    ) -> None:
        job_id = queued(database, tenant)
        failed = Failed("some_code", "It failed.", cause)
        seen: list[str] = []
        delays: list[float] = []
        while not seen or seen[-1] == "queued":
            state, delay_s = self.end(database, job_id, failed, settings)
            seen.append(state)
            delays.append(delay_s)
        assert seen == states
        assert delays[:-1] == [1.0, 2.0][: len(states) - 1]
        job = read_job(database, job_id)
        assert job.error is not None
        assert (job.error["code"], job.error["cause"]) == ("some_code", cause)
        assert ("batch_size" in job.error["message"]) is (cause == "oom")

    def test_a_full_disk_is_the_machines_and_the_error_says_to_try_again(
        self, database: Database, tenant: str, settings: Settings
    ) -> None:
        job_id, full = queued(database, tenant), Failed("storage_full", "No room.", "infra")
        ends = [self.end(database, job_id, full, settings) for _ in range(settings.max_infra_attempts)]
        assert [state for state, _ in ends] == ["queued"] * (len(ends) - 1) + ["failed"]
        assert [delay_s for _, delay_s in ends[:9]] == [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
        job = read_job(database, job_id)
        assert job.error is not None
        assert (job.error["code"], job.error["retryable"]) == ("storage_full", True)

    @pytest.mark.parametrize(
        ("batch_size", "accumulation", "expected"),
        [(128, 1, [1, 2, 4, 8, 16]), (16, 2, [2, 4, 8]), (3, 1, [1])],
    )
    def test_a_training_out_of_memory_takes_half_as_many_images_at_once_while_it_can(
        self, database: Database, tenant: str, settings: Settings, batch_size: int, accumulation: int,
        expected: list[int],
    ) -> None:  # fmt: skip
        asked = {"batch_size": batch_size, "gradient_accumulation": accumulation}
        job_id = queued(database, tenant, **asked, on_oom="accumulate")
        failed = Failed("out_of_memory", "No memory.", "oom")
        states = ["queued"]
        while states[-1] == "queued":
            states.append(self.end(database, job_id, failed, settings)[0])
        with database.read() as session:
            attempts = session.scalars(select(JobAttempt).order_by(JobAttempt.attempt)).all()
        used = [(a.overrides or {}).get("gradient_accumulation", accumulation) for a in attempts]
        assert used == expected
        assert read_job(database, job_id).spec["gradient_accumulation"] == accumulation
        told = [event.data.get("overrides") for event in events_of(database, job_id)]
        assert [data["gradient_accumulation"] for data in told if data] == expected[1:]

    @pytest.mark.parametrize("cause", ["infra", "stalled"])
    def test_lost_attempts_have_a_budget_in_common_and_wait_unless_they_got_on(
        self, database: Database, tenant: str, settings: Settings, cause: str
    ) -> None:
        job_id = queued(database, tenant)
        ending = Crashed(-9) if cause == "infra" else Stalled("train", 600, -9)
        few = settings.model_copy(update={"max_infra_attempts": 4})
        ended = [
            self.end(database, job_id, ending, few, checkpoint=True),
            self.end(database, job_id, ending, few),
            self.end(database, job_id, Stalled("train", 600, -9), few),
            self.end(database, job_id, ending, few, checkpoint=True),
        ]
        assert ended[:3] == [("queued", 0.0), ("queued", 0.0), ("queued", 1.0)]
        assert ended[3][0] == "failed"
        error = read_job(database, job_id).error
        assert error is not None
        assert error["code"] == "worker_lost"

    def end(
        self, database: Database, job_id: str, ending: Ending, settings: Settings, checkpoint: bool = False
    ) -> tuple[str, float]:
        """One attempt that ends so: the job's state, and how long it waits for the next."""
        with database.write() as session:
            session.execute(update(Job).values(available_at=db_now()))
        claim = claimed(database, job_id)
        with database.write() as session:
            if checkpoint:
                known = {"tenant_id": claim.tenant_id, "sha256": "0" * 64, "spec_sha256": "0" * 64}
                place = {"path": f"c{claim.attempt}", **known, "epoch": claim.attempt, "step": 1}
                session.add(Checkpoint(job_id=job_id, attempt=claim.attempt, **place))
            state = settle(session, claim.lease, ending, settings).value
        job = read_job(database, job_id)
        assert job.queued_at is not None
        return state, round((job.available_at - job.queued_at).total_seconds(), 1)

    def test_a_drained_job_is_queued_and_not_charged(
        self, database: Database, tenant: str, settings: Settings
    ) -> None:
        job_id = queued(database, tenant)
        claim = claimed(database, job_id)
        with database.write() as session:
            assert settle(session, claim.lease, Stopped("drain"), settings) is JobState.QUEUED
            ended = session.get_one(JobAttempt, (job_id, 1))
        assert (ended.outcome, ended.cause) == ("interrupted", None)  # causes are what is charged

    def test_running_too_long_fails(self, database: Database, tenant: str, settings: Settings) -> None:
        job_id = queued(database, tenant, max_runtime_s=5)
        claim = claimed(database, job_id)
        with database.write() as session:
            assert settle(session, claim.lease, Stopped("timeout"), settings) is JobState.FAILED
        job = read_job(database, job_id)
        assert job.error is not None
        assert (job.error["code"], job.error["cause"]) == ("timeout", "timeout")
