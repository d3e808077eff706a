"""The checkpoints of a job on disk: which one to resume from, and when they go."""

import hashlib
import logging
import re
import shutil
from contextlib import suppress
from pathlib import Path

from service.jobs.recording import checkpoints_newest_first
from service.jobs.tables import Checkpoint
from service.platform.database import Database

_LOG = logging.getLogger(__name__)
_KEPT = 2
_SUFFIXES = (".safetensors", ".tmp")
_ATTEMPT = re.compile(r"-attempt-(\d+)\.")


def newest_good(database: Database, folder: Path, job_id: str, spec_sha256: str) -> Checkpoint | None:
    """The furthest checkpoint of this spec whose file is there and has the recorded digest."""
    with database.read() as session:
        points = checkpoints_newest_first(session, job_id)
    for point in points:
        if point.spec_sha256 != spec_sha256:
            continue
        path = folder / point.path
        if path.is_file() and _sha256(path) == point.sha256:
            return point
        if path.exists():
            _LOG.warning("checkpoint %s of %s is damaged; trying the one before", point.path, job_id)
    return None


def tidy(database: Database, folder: Path, point: Checkpoint | None, attempt: int) -> None:
    """Remove what attempts before this one left: unfinished, unreported, all but the last two and the best.

    Never what a later one writes: this one may have been overtaken since it looked.
    """
    kept, _ = _sorted(database, folder)
    if point is not None:
        kept.add(point.path)
    for path in folder.glob("*"):  # it may be gone: whoever had the job before removes it when it is empty
        if path.suffix in _SUFFIXES and path.name not in kept and _attempt_of(path.name) < attempt:
            with suppress(OSError):  # what cannot be removed is in nobody's way
                path.unlink()


def prune(database: Database, folder: Path) -> None:
    """Remove all on record but the last two and the best. What is not on record yet is newer: it stays."""
    _, spare = _sorted(database, folder)
    for name in spare:
        (folder / name).unlink(missing_ok=True)


def close(folder: Path, *, succeeded: bool) -> None:
    """Nothing resumes a job that succeeded. What another one left stays for a retry."""
    if succeeded:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        with suppress(OSError):  # not empty, or never made
            folder.rmdir()


def _sorted(database: Database, folder: Path) -> tuple[set[str], set[str]]:
    """Files on record that are kept, and those that are not."""
    with database.read() as session:
        points = checkpoints_newest_first(session, job_id=folder.name)
    present = [point for point in points if (folder / point.path).is_file()]
    kept = {point.path for number, point in enumerate(present) if number < _KEPT or point.best}
    return kept, {point.path for point in present} - kept


def _attempt_of(name: str) -> int:
    """The attempt that wrote a file; 0 for names from before they told."""
    told = _ATTEMPT.search(name)
    return int(told[1]) if told else 0


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
