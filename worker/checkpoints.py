"""The checkpoints of a job on disk: which one to resume from, and when they go."""

import hashlib
import logging
import shutil
from pathlib import Path

from service.jobs.recording import checkpoints_newest_first
from service.jobs.tables import Checkpoint
from service.platform.database import Database

_LOG = logging.getLogger(__name__)


def newest_good(database: Database, folder: Path, job_id: str) -> Checkpoint | None:
    """The furthest checkpoint whose file is there and has the recorded digest."""
    with database.read() as session:
        points = checkpoints_newest_first(session, job_id)
    for point in points:
        path = folder / point.path
        if path.is_file() and _sha256(path) == point.sha256:
            return point
        if path.exists():
            _LOG.warning("checkpoint %s of %s is damaged; trying the one before", point.path, job_id)
    return None


def remove(folder: Path) -> None:
    """Remove a job's folder; it may be gone already."""
    shutil.rmtree(folder, ignore_errors=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
