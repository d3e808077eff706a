"""Every query about labels."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, select
from sqlalchemy.orm import Session, aliased

from service.platform.among import Told
from service.registry.tables import Label

_label = Label.__table__.c
_LABELS = Told(select(_label.owner_id, _label.key, _label.value), _label.owner_id)


def labels_of(session: Session, owner_ids: Sequence[str]) -> Sequence[Any]:
    """(owner_id, key, value), in an order that is the same in every database, whatever its language."""
    return sorted(_LABELS.rows(session, owner_ids))


def replace_labels(session: Session, owner_id: str, labels: Sequence[Label]) -> None:
    session.execute(delete(Label).where(Label.owner_id == owner_id))
    session.add_all(labels)
    session.flush()


def labelled(owner_id: Any, kind: str, key: str, value: str) -> ColumnElement[bool]:
    """The condition that the owner, of this kind, carries this label.

    The kind says nothing new, but leads an index to everything that carries the label.
    """
    label = aliased(Label)
    return exists().where(
        label.owner_id == owner_id, label.kind == kind, label.key == key, label.value == value
    )
