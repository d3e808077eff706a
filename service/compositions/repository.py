"""Every query about compositions."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete, exists, select, update
from sqlalchemy.orm import Session

from service.compositions.schemas import CompositionSearch
from service.compositions.tables import Composition, CompositionClass, CompositionMember
from service.models import service as models
from service.platform.database import insert_if_absent
from service.platform.ids import new_id
from service.platform.pagination import Page, PageRequest
from service.registry.search import newest, search


def find(session: Session, composition_id: str) -> Composition | None:
    return session.scalar(select(Composition).where(Composition.id == composition_id))


def find_locked(session: Session, composition_id: str) -> Composition | None:
    """The composition, changed by nobody else until this transaction ends."""
    row = select(Composition).where(Composition.id == composition_id).with_for_update(key_share=True)
    return session.scalar(row, execution_options={"populate_existing": True})


def page(session: Session, wanted: CompositionSearch, request: PageRequest) -> Page[Composition]:
    statement = select(Composition)
    for name in ("model_id", "form", "ready"):
        value = getattr(wanted, name)
        if value is not None:
            statement = statement.where(getattr(Composition, name) == value)
    model_ids = models.ids_like(wanted.origin)
    if model_ids is not None:
        statement = statement.where(Composition.model_id.in_(model_ids))
    if wanted.class_name is not None:
        knows = exists().where(
            CompositionClass.composition_id == Composition.id, CompositionClass.name == wanted.class_name
        )
        statement = statement.where(knows)
    return search(session, statement, Composition, wanted.bounds, (wanted.sort, request))


def rate(session: Session, composition_id: str, scores: Mapping[str, float]) -> None:
    if scores:
        session.execute(update(Composition).where(Composition.id == composition_id).values(**scores))


def ensure(session: Session, *, tenant_id: str, key: str, values: dict[str, Any]) -> tuple[Composition, bool]:
    """The composition with this key, locked, and whether it was made now: of two callers one makes it."""
    row = {"id": new_id("cmp"), "tenant_id": tenant_id, "key": key, "job_id": "", **values}
    made = insert_if_absent(session, Composition, row, key=["tenant_id", "key"])
    statement = select(Composition).where(Composition.tenant_id == tenant_id, Composition.key == key)
    return session.scalars(statement.with_for_update()).one(), made


def add_content(session: Session, composition: Composition, module_ids: Sequence[str]) -> None:
    """The members and the classes of a composition that was made now."""
    session.add_all(
        CompositionMember(
            composition_id=composition.id,
            tenant_id=composition.tenant_id,
            position=position,
            module_id=module_id,
        )
        for position, module_id in enumerate(module_ids)
    )
    session.add_all(
        CompositionClass(composition_id=composition.id, tenant_id=composition.tenant_id, name=name)
        for name in composition.classes
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


def ids_of_model(session: Session, model_id: str, limit: int = 3) -> Sequence[str]:
    return session.scalars(select(Composition.id).where(Composition.model_id == model_id).limit(limit)).all()


def ids_with_module(session: Session, module_id: str, limit: int = 3) -> Sequence[str]:
    members = select(CompositionMember.composition_id).where(CompositionMember.module_id == module_id)
    return session.scalars(members.limit(limit)).all()


def newest_of_model(session: Session, model_id: str) -> tuple[int, list[str]]:
    return newest(session, Composition, Composition.model_id == model_id)


def newest_with_module(session: Session, module_id: str) -> tuple[int, list[str]]:
    return newest(
        session,
        Composition,
        Composition.id.in_(
            select(CompositionMember.composition_id).where(CompositionMember.module_id == module_id)
        ),
    )


def remove(session: Session, composition_id: str) -> None:
    session.execute(delete(Composition).where(Composition.id == composition_id))
