"""What an error in the supervisor's own work means for its job: it ends with a name and a cause."""

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from service.jobs.endings import Failed
from service.platform.database import is_full
from service.platform.errors import ServiceError
from service.platform.storage import ArtifactStore, damaged
from worker.staging import no_room

_LOG = logging.getLogger(__name__)
T = TypeVar("T")


def failure_of(error: Exception) -> Failed:
    """The ending of an attempt, or a check, whose preparation raised this."""
    cause = cause_of(error)
    if isinstance(error, ServiceError):
        return Failed(error.code, str(error), "user" if cause == "internal" and error.status < 500 else cause)
    if isinstance(error, ValidationError):  # a stored spec that this version does not accept
        return Failed("invalid_spec", str(error), "user")
    _LOG.error("the job cannot be prepared", exc_info=error)
    if _no_room(error):
        return Failed("storage_full", "The worker has no room for what is being written.", "infra")
    return Failed("internal_error", f"{type(error).__name__}; the worker's log has more.", cause)


def blamed(ending: T, files: Mapping[str, str], store: ArtifactStore) -> T | Failed:
    """The ending of a runner that was given these files; where one is damaged, that is what failed.

    Asked only when a runner has failed: whatever it says of a damaged file, the caller did not damage it.
    """
    if isinstance(ending, Failed) and ending.cause in ("user", "internal"):
        for path in map(Path, files.values()):
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != path.name:  # the store names content by its digest
                store.forget_copy(path.name)
                return failure_of(damaged(path.name))
    return ending


def unrecorded(error: Exception) -> Failed:
    """The ending of an attempt whose result could not be written."""
    _LOG.error("the result cannot be recorded", exc_info=error)
    if _no_room(error):
        return Failed("storage_full", "The registry or the store has no room for the result.", "infra")
    return Failed("result_not_recorded", type(error).__name__, cause_of(error))


def cause_of(error: Exception) -> str:
    """infra: disks, stores, processes that are not there now and may be for the next attempt. Or internal."""
    away = _no_room(error) or isinstance(error, OSError) or getattr(error, "retryable", False)
    return "infra" if away else "internal"


def _no_room(error: Exception) -> bool:
    """On the worker's own disk, or where the database is."""
    return no_room(error) or is_full(error)
