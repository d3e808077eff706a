"""Uploads: opening one, taking parts in any order and any number of times, and handing them to a job."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from service.platform.clock import db_now
from service.platform.database import settings_of
from service.platform.errors import (
    InvalidRequestError,
    NotFoundError,
    UploadCompletedError,
    UploadIncompleteError,
    UploadTooLargeError,
)
from service.platform.holding import Lock, unlocked
from service.platform.ids import new_id
from service.platform.storage import ArtifactStore, StoredBlob
from service.uploads import repository
from service.uploads.schemas import MIB, PartView, UploadCreate, UploadView
from service.uploads.tables import Upload, UploadPart
from service.usage import storage

MAX_PARTS = 10_000
_KEPT_MS = 24 * 3_600_000
# Longer than a part is in the store without a row.
_RELEASED_MS = 300_000
_MISSING_TOLD = 20


def create(session: Session, tenant_id: str, owner_id: str | None, request: UploadCreate) -> UploadView:
    """Open an upload, which without an owner is its own.

    Raises UploadTooLargeError, InvalidRequestError (too many parts), StorageQuotaError.
    """
    limit_mib = settings_of(session).max_upload_mib
    if request.size > limit_mib * MIB:
        raise UploadTooLargeError(f"An upload may have {limit_mib} MiB; this one has {request.size} bytes.")
    if -(-request.size // request.part_size) > MAX_PARTS:
        raise InvalidRequestError(f"That makes more than {MAX_PARTS} parts; choose a larger part_size.")
    storage.require_space(session, tenant_id, request.size)
    upload_id = new_id("upl")
    upload = Upload(
        id=upload_id,
        tenant_id=tenant_id,
        owner_id=owner_id or upload_id,
        **request.model_dump(),
        expires_at=_expiry(),
    )
    session.add(upload)
    session.flush()
    session.refresh(upload)
    return describe(session, upload)


def get(session: Session, owner_id: str, upload_id: str, lock: Lock = unlocked) -> Upload:
    """The upload, or NotFoundError."""
    upload = repository.find(session, owner_id, upload_id, lock)
    if upload is None:
        raise _gone()
    return upload


def find(session: Session, upload_id: str, lock: Lock = unlocked) -> Upload:
    """The upload, whatever it is for, or NotFoundError."""
    upload = repository.find_any(session, upload_id, lock)
    if upload is None:
        raise _gone()
    return upload


def describe(session: Session, upload: Upload) -> UploadView:
    """The upload with its parts."""
    parts = repository.parts(session, upload.id)
    columns = {column.key: getattr(upload, column.key) for column in Upload.__table__.columns}
    return UploadView(
        **columns,
        part_count=_part_count(upload),
        parts=[PartView(number=part.number, size=part.size, sha256=part.sha256) for part in parts],
        missing=_missing(upload, parts),
    )


def expected_size(upload: Upload, number: int) -> int:
    """Bytes of the part with this number. Raises NotFoundError, UploadCompletedError."""
    if upload.job_id is not None:
        raise UploadCompletedError("The upload is complete; its parts cannot be changed any more.")
    if not 1 <= number <= _part_count(upload):
        raise NotFoundError(f"This upload has the parts 1 to {_part_count(upload)}.")
    return min(upload.part_size, upload.size - (number - 1) * upload.part_size)


def record_part(session: Session, upload: Upload, number: int, blob: StoredBlob) -> None:
    """A part has arrived; it takes the place of an earlier one. Nobody may complete the upload meanwhile."""
    expected_size(upload, number)
    content = {"sha256": blob.sha256, "size": blob.size, "tenant_id": upload.tenant_id}
    session.merge(UploadPart(upload_id=upload.id, number=number, **content))
    upload.expires_at = _expiry()


def require_complete(session: Session, upload: Upload) -> None:
    """Raises UploadIncompleteError."""
    missing = _missing(upload, repository.parts(session, upload.id))
    if missing:
        told = ", ".join(map(str, missing[:_MISSING_TOLD]))
        more = f" and {len(missing) - _MISSING_TOLD} more" if len(missing) > _MISSING_TOLD else ""
        raise UploadIncompleteError(f"Parts are missing: {told}{more}.")


def local_parts(session: Session, store: ArtifactStore, upload_id: str) -> dict[str, Path]:
    """`part:<number>` -> readable file."""
    return {f"part:{p.number}": store.path(p.sha256) for p in repository.parts(session, upload_id)}


def release(session: Session, owner_id: str) -> None:
    """The owner needs its uploads no more: the dispatcher removes them soon."""
    repository.release(session, owner_id, _RELEASED_MS)


def _gone() -> NotFoundError:
    return NotFoundError("There is no upload with this id; they are removed a day after their last part.")


def _part_count(upload: Upload) -> int:
    return -(-upload.size // upload.part_size)


def _missing(upload: Upload, parts: Sequence[UploadPart]) -> list[int]:
    return sorted(set(range(1, _part_count(upload) + 1)) - {part.number for part in parts})


def _expiry() -> Any:
    return db_now() + _KEPT_MS
