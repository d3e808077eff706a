"""What ended jobs leave behind, and when it goes: folders, events, curves."""

import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

from sqlalchemy import select

from service.jobs.states import TERMINAL, JobState
from service.jobs.tables import Job, JobEvent
from service.models.tables import Metric
from service.platform.clock import db_now
from service.platform.database import Database
from service.platform.thinning import delete_gradually

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
_AT_ONCE = 500


def remove_folders(
    database: Database, root: Path, age_ms: int, states: Collection[JobState] = TERMINAL
) -> None:
    """Remove the folders, named by job, of jobs that ended so long ago. Others' folders stay.

    `states`: only of jobs that ended so. Nothing happens where there is no such root: this process then does
    not have the artifact folder.
    """
    names = [folder.name for folder in root.iterdir()] if root.is_dir() else []
    for first in range(0, len(names), _AT_ONCE):
        with database.read() as session:
            known = Job.id.in_(names[first : first + _AT_ONCE])
            ended = session.scalars(select(Job.id).where(known, *_ended_before(age_ms, states))).all()
        for job_id in ended:
            shutil.rmtree(root / job_id, ignore_errors=True)


def remove_used_up(database: Database, checkpoint_root: Path) -> None:
    """Remove the checkpoints of jobs that succeeded: a worker killed right after it published leaves them."""
    remove_folders(database, checkpoint_root, 0, {JobState.SUCCEEDED})


def forget_stories(database: Database, age_ms: int) -> None:
    """Drop events and curves of jobs that ended so long ago.

    The last event of each stays: whoever follows a job waits for it.
    """
    told = select(JobEvent.job_id).where(JobEvent.job_id == Job.id, JobEvent.type != "job.done").exists()
    jobs = select(Job.id).where(*_ended_before(age_ms), told).order_by(Job.id).limit(_AT_ONCE)
    last = ""
    while True:
        with database.read() as session:
            some = session.scalars(jobs.where(Job.id > last)).all()
        if not some:
            return
        # Events last: by them the job is found again where this is cut off.
        delete_gradually(database, Metric, Metric.job_id.in_(some), Metric.owner_id.is_(None))
        delete_gradually(database, JobEvent, JobEvent.job_id.in_(some), JobEvent.type != "job.done")
        last = some[-1]


def _ended_before(age_ms: int, states: Collection[JobState] = TERMINAL) -> tuple[Any, ...]:
    return Job.state.in_(list(states)), Job.finished_at < db_now() - age_ms
