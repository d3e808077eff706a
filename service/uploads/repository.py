"""Every query about uploads."""

from collections.abc import Sequence

from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session

from service.jobs.states import TERMINAL
from service.jobs.tables import Job
from service.platform.clock import db_now
from service.uploads.tables import Upload, UploadPart

_AT_ONCE = 100


def find(session: Session, owner_id: str, upload_id: str) -> Upload | None:
    return session.scalar(select(Upload).where(Upload.id == upload_id, Upload.owner_id == owner_id))


def parts(session: Session, upload_id: str) -> Sequence[UploadPart]:
    """In their order."""
    rows = select(UploadPart).where(UploadPart.upload_id == upload_id).order_by(UploadPart.number)
    return session.scalars(rows).all()


def of_owner(session: Session, owner_id: str) -> Sequence[Upload]:
    return session.scalars(select(Upload).where(Upload.owner_id == owner_id)).all()


def expired(session: Session) -> Sequence[str]:
    """Uploads whose time is over and which no living job reads."""
    read = exists().where(Job.id == Upload.job_id, Job.state.not_in(list(TERMINAL)))
    return session.scalars(select(Upload.id).where(Upload.expires_at < db_now(), ~read).limit(_AT_ONCE)).all()


def remove(session: Session, upload_ids: Sequence[str]) -> None:
    """The rows; what no other row names goes from the store with its next clean-up."""
    session.execute(delete(UploadPart).where(UploadPart.upload_id.in_(upload_ids)))
    session.execute(delete(Upload).where(Upload.id.in_(upload_ids)))
