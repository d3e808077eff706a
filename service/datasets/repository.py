"""Every query about datasets."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.datasets.tables import USED, Dataset
from service.platform.among import among
from service.platform.database import insert_if_absent
from service.platform.holding import Lock, unlocked
from service.platform.ids import new_id
from service.platform.pagination import Page, PageRequest, fetch_page

_UPLOADED = (Dataset.uploaded, Dataset.deleted_at.is_(None))


def versions(session: Session, name: str) -> Sequence[Dataset]:
    """What jobs have used of this built-in dataset, newest first."""
    statement = select(Dataset).where(Dataset.name == name, ~Dataset.uploaded)
    return session.scalars(statement.order_by(Dataset.created_at.desc(), Dataset.id.desc())).all()


def by_ids(session: Session, ids: Collection[str]) -> dict[str, Dataset]:
    """Deleted ones too."""
    return {row.id: row for row in session.scalars(select(Dataset).where(among(Dataset.id, ids)))}


def uploaded(session: Session, dataset_id: str, lock: Lock = unlocked) -> Dataset | None:
    return session.scalar(lock(select(Dataset).where(Dataset.id == dataset_id, *_UPLOADED)))


def page_of_uploaded(session: Session, page: PageRequest) -> Page[Dataset]:
    """Newest first."""
    return fetch_page(session, select(Dataset).where(*_UPLOADED), (Dataset.created_at, Dataset.id), page)


def ensure(session: Session, *, tenant_id: str, name: str, digest: str, info: dict[str, Any]) -> str:
    """The id of this version, recorded now if it is new; safe when two jobs end at once."""
    identity = {"tenant_id": tenant_id, "name": name, "digest": digest}
    values = {"id": new_id("ds"), "info": info, "uploaded": False, **identity}
    insert_if_absent(session, Dataset, values, key=list(identity), where=USED)
    return session.scalars(select(Dataset.id).filter_by(uploaded=False, **identity)).one()
