"""Every query about compositions."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.compositions.tables import Composition, CompositionMember
from service.platform.database import insert_if_absent
from service.platform.ids import new_id
from service.platform.pagination import Page, PageRequest, fetch_page


def find(session: Session, composition_id: str) -> Composition | None:
    return session.scalar(select(Composition).where(Composition.id == composition_id))


def page(session: Session, request: PageRequest, model_id: str | None) -> Page[Composition]:
    """Compositions, newest first; None = of any model."""
    statement = select(Composition)
    if model_id is not None:
        statement = statement.where(Composition.model_id == model_id)
    return fetch_page(session, statement, (Composition.created_at, Composition.id), request)


def ensure(session: Session, *, tenant_id: str, key: str, values: dict[str, Any]) -> tuple[Composition, bool]:
    """The composition with this key, locked, and whether it was made now: of two callers one makes it."""
    row = {"id": new_id("cmp"), "tenant_id": tenant_id, "key": key, "job_id": "", **values}
    made = insert_if_absent(session, Composition, row, key=["tenant_id", "key"])
    statement = select(Composition).where(Composition.tenant_id == tenant_id, Composition.key == key)
    return session.scalars(statement.with_for_update()).one(), made


def add_members(session: Session, composition: Composition, module_ids: Sequence[str]) -> None:
    session.add_all(
        CompositionMember(
            composition_id=composition.id,
            tenant_id=composition.tenant_id,
            position=position,
            module_id=module_id,
        )
        for position, module_id in enumerate(module_ids)
    )
    session.flush()


def members_of(session: Session, composition_ids: Sequence[str]) -> dict[str, list[str]]:
    """Composition id -> module ids in their order."""
    statement = (
        select(CompositionMember)
        .where(CompositionMember.composition_id.in_(composition_ids))
        .order_by(CompositionMember.composition_id, CompositionMember.position)
    )
    found: dict[str, list[str]] = {}
    for row in session.scalars(statement):
        found.setdefault(row.composition_id, []).append(row.module_id)
    return found
