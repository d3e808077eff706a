"""Every query about compositions."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from service.compositions.schemas import CompositionSearch
from service.compositions.tables import Composition, CompositionClass, CompositionMember
from service.models import service as models
from service.platform.among import Told
from service.platform.database import insert_if_absent
from service.platform.holding import Lock, taken, unlocked
from service.platform.ids import new_id
from service.platform.pagination import Page, PageRequest
from service.registry.reading import Seen, seen_by_id
from service.registry.search import Found, newest, search

_composition, _member = Composition.__table__.c, CompositionMember.__table__.c
_ROWS = Told(select(*_composition), _composition.id)
_MEMBERS = Told(
    select(_member.composition_id, _member.module_id).order_by(_member.composition_id, _member.position),
    _member.composition_id,
)


def find(session: Session, composition_id: str, lock: Lock = unlocked) -> Composition | None:
    return session.scalar(lock(select(Composition).where(Composition.id == composition_id)))


def find_seen(session: Session, composition_id: str) -> Seen | None:
    return seen_by_id(session, Composition, composition_id)


def told_of(session: Session, composition_ids: Sequence[str]) -> Sequence[Any]:
    """The rows of these ids, in any order, not to be changed."""
    return _ROWS.rows(session, composition_ids)


def find_locked(session: Session, composition_id: str) -> Composition | None:
    """The composition, changed by nobody else until this transaction ends."""
    row = select(Composition).where(Composition.id == composition_id).with_for_update(key_share=True)
    return session.scalar(row, execution_options={"populate_existing": True})


def page(session: Session, wanted: CompositionSearch, request: PageRequest) -> Page[Seen]:
    traits = models.of_origin(session, Composition.model_id, wanted.origin)
    for name in ("model_id", "form", "ready"):
        value = getattr(wanted, name)
        if value is not None:
            traits.append(getattr(Composition, name) == value)
    found = Found(Composition, Composition, Composition.id)
    if wanted.class_name is not None:
        of_class = [CompositionClass.name == wanted.class_name]
        found = Found(Composition, CompositionClass, CompositionClass.composition_id, of_class)
    return search(session, found, wanted.bounds, (wanted.sort, request), traits)


def rate(session: Session, composition_id: str, scores: Mapping[str, float]) -> None:
    if scores:
        session.execute(update(Composition).where(Composition.id == composition_id).values(**scores))


def ensure(session: Session, *, tenant_id: str, key: str, values: dict[str, Any]) -> tuple[Composition, bool]:
    """The composition with this key, locked, and whether it was made now: of two callers one makes it."""
    row = {"id": new_id("cmp"), "tenant_id": tenant_id, "key": key, **values}
    wanted = taken(select(Composition).where(Composition.tenant_id == tenant_id, Composition.key == key))
    while True:
        made = insert_if_absent(session, Composition, row, key=["tenant_id", "key"])
        composition = session.scalar(wanted)
        if composition is not None:  # else the one that was there has just been removed
            return composition, made


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
    found: dict[str, list[str]] = {}
    for composition_id, module_id in _MEMBERS.rows(session, composition_ids):
        found.setdefault(composition_id, []).append(module_id)
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
