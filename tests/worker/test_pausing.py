"""A real training that is paused and resumed ends with the same bits as an undisturbed one."""

from sqlalchemy import select

from service.artifacts.tables import Artifact, ArtifactLink
from service.jobs import pausing
from service.platform.database import Database
from service.platform.settings import Settings
from tests.fixtures.jobs import queued, read_job
from tests.worker.test_execution import attempts_of, once_checkpointed, runner_pids
from worker.context import WorkerContext
from worker.execution import execute

# Long enough to be paused between two beats of the heart.
TRAINING = {"epochs": 100, "batch_size": 32, "max_train_samples": 64, "checkpoint_interval_s": 0.1}


def weights_of(database: Database, job_id: str) -> str:
    """The sha256 of the trained network."""
    job = read_job(database, job_id)
    assert job.state == "succeeded"
    assert job.result is not None
    with database.read() as session:
        links = select(ArtifactLink.artifact_id).where(
            ArtifactLink.owner_id == job.result["model_id"], ArtifactLink.role == "weights"
        )
        return session.scalars(select(Artifact.sha256).where(Artifact.id.in_(links))).one()


def test_a_paused_training_goes_on_bit_for_bit(
    database: Database, tenant: str, context: WorkerContext, settings: Settings
) -> None:
    paused, undisturbed = queued(database, tenant, **TRAINING), queued(database, tenant, **TRAINING)

    def pause() -> None:
        with database.write() as session:
            pausing.pause(session, paused)

    with once_checkpointed(database, pause):
        execute(context, paused)
    assert read_job(database, paused).state == "pending"
    assert list((settings.checkpoint_root / paused).iterdir())
    assert runner_pids() == []
    execute(context, paused)  # a late hint
    assert read_job(database, paused).attempt == 1
    with database.write() as session:
        pausing.resume(session, paused)
    execute(context, paused)
    execute(context, undisturbed)
    first, second = attempts_of(database, paused)
    assert (first.outcome, first.exit_code) == ("interrupted", None)
    assert second.resumed_from is not None
    assert weights_of(database, paused) == weights_of(database, undisturbed)
