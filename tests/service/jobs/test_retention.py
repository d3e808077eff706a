"""What ended jobs leave behind goes when its time has come, and nothing else does."""

from pathlib import Path

from sqlalchemy import select, update

from service.jobs import service
from service.jobs.tables import Job, JobEvent
from service.models.tables import Metric
from service.platform.clock import db_now
from service.platform.database import Database
from service.platform.settings import Settings
from service.upkeep import Upkeep
from tests.fixtures.jobs import events_of, queued, succeed

DAY_MS = 86_400_000


def cancelled(database: Database, tenant: str, days_ago: float) -> str:
    job_id = queued(database, tenant)
    with database.write() as session:
        service.cancel(session, job_id)
        session.add(Metric(tenant_id=tenant, job_id=job_id, name="loss", value=1.0, epoch=1))
        ended = db_now() - round(days_ago * DAY_MS)
        session.execute(update(Job).where(Job.id == job_id).values(finished_at=ended))
    return job_id


def folders(root: Path, *names: str) -> None:
    for name in names:
        (root / name / "1").mkdir(parents=True)


def test_only_what_ended_long_ago_goes(database: Database, tenant: str, settings: Settings) -> None:
    old, new = cancelled(database, tenant, 3), cancelled(database, tenant, 1)
    just_now, waiting = cancelled(database, tenant, 0), queued(database, tenant)
    everything = {old, new, just_now, waiting, "not_a_job"}
    folders(settings.staging_root, *everything)
    folders(settings.checkpoint_root, *everything)

    def left() -> tuple[set[str], set[str]]:
        roots = (settings.staging_root, settings.checkpoint_root)
        staged, kept = ({folder.name for folder in root.iterdir()} for root in roots)
        return staged, kept

    Upkeep(database, settings).forget()
    assert left() == ({just_now, waiting, "not_a_job"}, everything)
    limits = {"checkpoints_kept_days": 2, "events_kept_days": 2}
    Upkeep(database, settings.model_copy(update=limits)).forget()
    assert left()[1] == everything - {old}
    assert [event.type for event in events_of(database, old)] == ["job.done"]
    with database.read() as session:
        told = set(session.scalars(select(JobEvent.job_id).where(JobEvent.type == "job.state")))
        curves = set(session.scalars(select(Metric.job_id)))
    assert told == {new, just_now, waiting}
    assert curves == {new, just_now}


def test_checkpoints_of_a_success_go_at_once(database: Database, tenant: str, settings: Settings) -> None:
    """A worker that is killed between publication and tidying up leaves them."""
    done, failed = queued(database, tenant), cancelled(database, tenant, 0)
    with database.write() as session:
        succeed(session, done, {})
    folders(settings.checkpoint_root, done, failed, queued(database, tenant))
    Upkeep(database, settings).forget()
    assert not (settings.checkpoint_root / done).exists()
    assert len([*settings.checkpoint_root.iterdir()]) == 2


def test_no_artifact_folder_no_trouble(database: Database, settings: Settings) -> None:
    assert not settings.artifact_root.exists()
    Upkeep(database, settings).forget()
