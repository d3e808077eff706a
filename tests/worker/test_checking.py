"""Real checks by a short worker's warm runner."""

from collections.abc import Iterator

import pytest
from sqlalchemy import select, update

from service.jobs import service
from service.jobs.tables import Job, JobAttempt
from service.platform.database import Database
from service.platform.settings import Settings
from tests.fixtures.jobs import events_of, queued, read_job, states_of, train_spec
from tests.worker.conftest import Drain
from tests.worker.test_execution import once, runner_pids
from worker.context import WorkerContext, open_context
from worker.execution import execute


@pytest.fixture
def short(settings: Settings, database: Database, drain: Drain) -> Iterator[WorkerContext]:
    opened = open_context(settings, ["short"], drain)
    yield opened
    opened.runners.close()
    opened.database.dispose()


def test_one_warm_runner_checks_good_and_bad(database: Database, tenant: str, short: WorkerContext) -> None:
    def check(architecture: str) -> tuple[str, str | None]:
        job_id = queued(database, tenant, architecture=architecture)
        execute(short, job_id)
        assert states_of(database, job_id)[:2] == ["pending", "validating"]
        job = read_job(database, job_id)
        return job.state, None if job.error is None else job.error["code"]

    assert check("torchvision:resnet18") == ("queued", None)
    warm = runner_pids()
    assert check("torchvision:resnet9000") == ("failed", "unknown_architecture")
    assert check("torchvision:vit_b_16") == ("failed", "input_shape_unsupported")
    assert runner_pids() == warm
    with database.read() as session:
        assert session.scalars(select(JobAttempt)).all() == []


def test_a_cancelled_check_stops_its_runner(database: Database, tenant: str, short: WorkerContext) -> None:
    job_id = queued(database, tenant, architecture="torchvision:vgg19", dataset="cifar10")

    def cancel() -> None:
        with database.write() as session:
            service.cancel(session, job_id)

    with once(lambda: read_job(database, job_id).state == "validating", cancel):
        execute(short, job_id)
    assert read_job(database, job_id).state == "cancelled"


def test_a_check_leaves_training_to_training_workers(
    database: Database, tenant: str, context: WorkerContext, short: WorkerContext
) -> None:
    own, foreign = queued(database, tenant), queued(database, tenant, architecture="torchvision:resnet18")
    execute(short, own)
    execute(context, foreign)
    assert [read_job(database, job_id).state for job_id in (own, foreign)] == ["queued", "pending"]


def test_a_check_that_cannot_be_prepared_says_why_and_leaves_it_to_the_training(
    database: Database, tenant: str, short: WorkerContext
) -> None:
    """A row that something damaged, and a data set whose files are not there."""
    lost = queued(database, tenant, architecture="torchvision:resnet18", dataset="ds_" + "0" * 26)
    damaged = queued(database, tenant, architecture="torchvision:resnet18")
    spec = train_spec(architecture="torchvision:resnet18").model_dump(mode="json", exclude={"dataset"})
    with database.write() as session:
        session.execute(update(Job).where(Job.id == damaged).values(spec=spec))
    for job_id, reason in ((lost, "not_found: "), (damaged, "internal_error: KeyError")):
        execute(short, job_id)
        assert states_of(database, job_id) == ["pending", "validating", "queued"]
        told = [event.data["message"] for event in events_of(database, job_id) if event.type == "job.log"]
        assert len(told) == 1
        assert reason in told[0]
