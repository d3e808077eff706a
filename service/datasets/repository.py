"""Every query about datasets."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.datasets.tables import Dataset
from service.platform.database import insert_if_absent
from service.platform.ids import new_id


def versions(session: Session, name: str) -> Sequence[Dataset]:
    """What jobs have used under this name, newest first."""
    statement = select(Dataset).where(Dataset.name == name)
    return session.scalars(statement.order_by(Dataset.created_at.desc(), Dataset.id.desc())).all()


def by_ids(session: Session, ids: Collection[str]) -> dict[str, Dataset]:
    return {row.id: row for row in session.scalars(select(Dataset).where(Dataset.id.in_(ids)))}


def ensure(session: Session, *, tenant_id: str, name: str, digest: str, info: dict[str, Any]) -> str:
    """The id of this version, recorded now if it is new; safe when two jobs end at once."""
    identity = {"tenant_id": tenant_id, "name": name, "digest": digest}
    insert_if_absent(session, Dataset, {"id": new_id("ds"), "info": info, **identity}, key=list(identity))
    return session.scalars(select(Dataset.id).filter_by(**identity)).one()
