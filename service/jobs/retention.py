"""What ended jobs leave behind, and when it goes: folders, events, curves."""

import shutil
from pathlib import Path
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from service.jobs.states import TERMINAL
from service.jobs.tables import Job, JobEvent
from service.models.tables import Metric
from service.platform.clock import db_now
from service.platform.database import Database

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
_AT_ONCE = 500


def remove_folders(database: Database, root: Path, age_ms: int) -> None:
    """Remove the folders, named by job, of jobs that ended so long ago. Others' folders stay.

    Nothing happens where there is no such root: this process then does not have the artifact folder.
    """
    names = [folder.name for folder in root.iterdir()] if root.is_dir() else []
    for first in range(0, len(names), _AT_ONCE):
        with database.read() as session:
            known = Job.id.in_(names[first : first + _AT_ONCE])
            ended = session.scalars(select(Job.id).where(known, *_ended_before(age_ms))).all()
        for job_id in ended:
            shutil.rmtree(root / job_id, ignore_errors=True)


def forget_stories(session: Session, age_ms: int) -> None:
    """Drop events and curves of jobs that ended so long ago; some at a time, the writer is needed.

    The last event of each stays: whoever follows a job waits for it.
    """
    told = select(JobEvent.job_id).where(JobEvent.job_id == Job.id, JobEvent.type != "job.done").exists()
    jobs = session.scalars(select(Job.id).where(*_ended_before(age_ms), told).limit(_AT_ONCE)).all()
    session.execute(delete(JobEvent).where(JobEvent.job_id.in_(jobs), JobEvent.type != "job.done"))
    session.execute(delete(Metric).where(Metric.job_id.in_(jobs), Metric.owner_id.is_(None)))


def _ended_before(age_ms: int) -> tuple[Any, ...]:
    return Job.state.in_(list(TERMINAL)), Job.finished_at < db_now() - age_ms
