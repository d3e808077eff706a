"""Attempts with real runners: success, kill, cancel, timeout, drain, and a lease that is lost meanwhile."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from sqlalchemy import select

from service.artifacts.tables import Artifact
from service.jobs import leases, service
from service.jobs.inheritance import inherit
from service.jobs.tables import Checkpoint, Job, JobAttempt
from service.models.tables import Metric, Model
from service.platform.database import Database
from service.platform.settings import Settings
from tests.fixtures.jobs import queued, read_job, states_of
from tests.fixtures.waiting import children_of, command_of, eventually
from tests.worker.conftest import Drain
from worker.context import WorkerContext
from worker.execution import execute

# Small enough to end in a second, checkpointed at every step so that any moment can be resumed.
SHORT = {"epochs": 12, "batch_size": 32, "max_train_samples": 64, "checkpoint_interval_s": 0}
ENDLESS = {**SHORT, "epochs": 2000}


def attempts_of(database: Database, job_id: str) -> list[JobAttempt]:
    with database.read() as session:
        rows = select(JobAttempt).where(JobAttempt.job_id == job_id).order_by(JobAttempt.attempt)
        return list(session.scalars(rows))


def has_checkpoint(database: Database) -> bool:
    with database.read() as session:
        return session.scalars(select(Checkpoint)).first() is not None


def runner_pids() -> list[int]:
    return [pid for pid in children_of(os.getpid()) if "worker.runner" in command_of(pid)]


def once_checkpointed(database: Database, act: Callable[[], None]) -> AbstractContextManager[None]:
    """Do something to the job that runs in the block, as soon as it has a checkpoint."""
    return once(lambda: has_checkpoint(database), act)


@contextmanager
def once(happened: Callable[[], bool], act: Callable[[], None]) -> Iterator[None]:
    """Do something meanwhile, as soon as something has happened; on failure the runner dies."""
    errors: list[BaseException] = []

    def wait_and_act() -> None:
        try:
            eventually(happened, 90)
            act()
        except BaseException as error:
            errors.append(error)
            for pid in runner_pids():
                os.kill(pid, signal.SIGKILL)
            raise

    thread = threading.Thread(target=wait_and_act)
    thread.start()
    yield
    thread.join()
    assert errors == []


def test_a_killed_runner_is_resumed_from_its_checkpoint_and_the_job_succeeds(
    database: Database,
    tenant: str,
    context: WorkerContext,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    job_id = queued(database, tenant, **SHORT)
    left = settings.staging_root / job_id / "0" / "model.safetensors"  # by an attempt whose worker was killed
    left.parent.mkdir(parents=True)
    left.touch()
    with once_checkpointed(database, lambda: os.kill(runner_pids()[0], signal.SIGKILL)):
        execute(context, job_id)
    assert states_of(database, job_id)[-1] == "queued"
    assert "exit code -9" in caplog.text
    execute(context, job_id)
    assert states_of(database, job_id) == [
        "queued",
        "running",
        "interrupted",
        "queued",
        "running",
        "succeeded",
    ]
    first, second = attempts_of(database, job_id)
    assert (first.outcome, first.cause, first.exit_code) == ("lost", "infra", -signal.SIGKILL)
    assert second.outcome == "succeeded"
    assert second.resumed_from is not None
    with database.read() as session:
        points = session.scalars(select(Checkpoint)).all()
    assert {point.attempt for point in points} == {1, 2}
    assert all(f"-attempt-{point.attempt}." in point.path for point in points)
    job = read_job(database, job_id)
    assert job.result is not None
    with database.read() as session:
        assert session.scalars(select(Model.id)).all() == [job.result["model_id"]]
        shas = session.scalars(select(Artifact.sha256)).all()
        epochs = session.scalars(select(Metric.epoch).where(Metric.owner_id.is_(None))).all()
    assert shas
    assert all(context.store.path(sha).is_file() for sha in shas)
    assert {*epochs} == set(range(1, 13))
    assert not (settings.checkpoint_root / job_id).exists()
    assert not (settings.staging_root / job_id).exists()
    assert runner_pids() == []
    version = job.version
    execute(context, job_id)  # a doubled hint
    assert read_job(database, job_id).version == version


def test_cancel_stops_it_after_a_last_checkpoint_from_which_a_retry_goes_on(
    database: Database, tenant: str, context: WorkerContext, settings: Settings
) -> None:
    job_id = queued(database, tenant, **ENDLESS)

    def cancel() -> None:
        with database.write() as session:
            service.cancel(session, job_id)

    with once_checkpointed(database, cancel):
        execute(context, job_id)
    assert states_of(database, job_id)[-2:] == ["cancelling", "cancelled"]
    attempt = attempts_of(database, job_id)[0]
    assert (attempt.outcome, attempt.exit_code) == ("cancelled", None)  # it stopped by itself
    assert list((settings.checkpoint_root / job_id).iterdir())
    assert runner_pids() == []

    heir_id = queued(database, tenant, **ENDLESS, max_runtime_s=1)
    with database.write() as session:
        inherit(session, session.get_one(Job, job_id), session.get_one(Job, heir_id))
    execute(context, heir_id)
    resumed = attempts_of(database, heir_id)[0].resumed_from
    with database.read() as session:
        rows = select(Checkpoint.path).where(Checkpoint.job_id == job_id, Checkpoint.path == resumed)
        assert session.scalars(rows).one() == resumed
    job = read_job(database, heir_id)
    assert job.error is not None
    assert (job.state, job.error["code"]) == ("failed", "timeout")


def test_a_drain_puts_it_back_into_the_queue(
    database: Database, tenant: str, context: WorkerContext, drain: Drain
) -> None:
    job_id = queued(database, tenant, **ENDLESS)

    def request() -> None:
        drain.requested = True

    with once_checkpointed(database, request):
        execute(context, job_id)
    assert states_of(database, job_id)[-2:] == ["interrupted", "queued"]
    assert attempts_of(database, job_id)[0].outcome == "interrupted"
    execute(context, job_id)  # a draining worker claims nothing
    assert read_job(database, job_id).attempt == 1


def test_a_worker_that_lost_its_lease_kills_its_runner_and_publishes_nothing(
    database: Database, tenant: str, context: WorkerContext, settings: Settings
) -> None:
    job_id = queued(database, tenant, **ENDLESS)

    def take_over() -> None:
        with database.write() as session:
            leases.expire_all(session)
            leases.reap(session, job_id, 20)
            assert leases.claim(session, job_id, "wrk_heir", 60.0) is not None

    with once_checkpointed(database, take_over):
        execute(context, job_id)
    job = read_job(database, job_id)
    assert (job.state, job.lease_owner, job.attempt) == ("running", "wrk_heir", 2)
    assert runner_pids() == []
    with database.read() as session:
        assert session.scalars(select(Artifact)).all() == []


def test_an_attempt_that_cannot_be_prepared_ends_with_a_cause(
    database: Database, tenant: str, context: WorkerContext, settings: Settings
) -> None:
    job_id = queued(database, tenant, **SHORT)
    settings.artifact_root.mkdir(parents=True, exist_ok=True)
    settings.staging_root.touch()  # no folder can be made in it
    execute(context, job_id)
    assert read_job(database, job_id).state == "queued"
    assert [(a.outcome, a.cause) for a in attempts_of(database, job_id)] == [("failed", "infra")]


def test_the_users_mistake_fails_the_job_at_once(
    database: Database, tenant: str, context: WorkerContext, settings: Settings
) -> None:
    job_id = queued(database, tenant, architecture="simcnn", dataset="cifar10")
    execute(context, job_id)
    job = read_job(database, job_id)
    assert job.state == "failed"
    assert job.error is not None
    assert (job.error["code"], job.error["cause"]) == ("data_root_missing", "user")
    assert not (settings.checkpoint_root / job_id).exists()
