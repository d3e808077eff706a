"""Every query about uploads."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, select, update
from sqlalchemy.orm import Session

from service.jobs.states import TERMINAL
from service.jobs.tables import Job
from service.platform.clock import db_now
from service.platform.holding import Lock, taken, unlocked
from service.uploads.tables import Upload, UploadPart

_AT_ONCE = 100


def find(session: Session, owner_id: str, upload_id: str, lock: Lock = unlocked) -> Upload | None:
    row = select(Upload).where(Upload.id == upload_id, Upload.owner_id == owner_id)
    return session.scalar(lock(row))


def find_any(session: Session, upload_id: str, lock: Lock = unlocked) -> Upload | None:
    return session.scalar(lock(select(Upload).where(Upload.id == upload_id)))


def parts(session: Session, upload_id: str) -> Sequence[UploadPart]:
    """In their order."""
    rows = select(UploadPart).where(UploadPart.upload_id == upload_id).order_by(UploadPart.number)
    return session.scalars(rows).all()


def release(session: Session, owner_id: str, after_ms: int) -> None:
    """Let the owner's uploads expire so soon."""
    expires: Any = db_now() + after_ms
    session.execute(update(Upload).where(Upload.owner_id == owner_id).values(expires_at=expires))


def digests(session: Session, upload_id: str) -> set[str]:
    """Of its parts."""
    return set(session.scalars(select(UploadPart.sha256).where(UploadPart.upload_id == upload_id)))


def expired(session: Session) -> Sequence[str]:
    """Uploads whose time is over and which no living job reads."""
    return session.scalars(select(Upload.id).where(*_expired()).limit(_AT_ONCE)).all()


def take_expired(session: Session, upload_id: str) -> bool:
    """Whether it still is; then nobody changes that before this transaction ends."""
    # Asked twice: the first answer may be from before a job that was waited for.
    row = select(Upload.id).where(Upload.id == upload_id)
    session.execute(taken(row))
    return session.scalar(row.where(*_expired())) is not None


def remove(session: Session, upload_id: str) -> None:
    """The rows."""
    session.execute(delete(UploadPart).where(UploadPart.upload_id == upload_id))
    session.execute(delete(Upload).where(Upload.id == upload_id))


def _expired() -> tuple[ColumnElement[bool], ...]:
    read = exists().where(Job.id == Upload.job_id, Job.state.not_in(list(TERMINAL)))
    return Upload.expires_at < db_now(), ~read
