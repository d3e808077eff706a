"""Every query about modules."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Float, case, exists, func, literal, select, tuple_
from sqlalchemy.orm import Session, aliased

from core.specs import GATED_RECIPES
from service.models.tables import Metric, Model
from service.modules.tables import Module, ModuleClass
from service.platform.pagination import Page, PageRequest, fetch_page

# Below every real score, so that what was never measured comes last.
_UNMEASURED = -1.0


@dataclass(frozen=True)
class Candidate:
    """A module of exactly one class, and its model. `score` is its validation f1, or None."""

    module: Module
    model: Model
    class_name: str
    score: float | None


def find(session: Session, module_id: str) -> Module | None:
    return session.scalar(select(Module).where(Module.id == module_id))


def find_many(session: Session, module_ids: Sequence[str]) -> dict[str, Module]:
    return {row.id: row for row in session.scalars(select(Module).where(Module.id.in_(module_ids)))}


def page(
    session: Session, request: PageRequest, *, model_id: str | None, form: str | None, class_name: str | None
) -> Page[Module]:
    """Modules, newest first; None = any."""
    statement = select(Module)
    if model_id is not None:
        statement = statement.where(Module.model_id == model_id)
    if form is not None:
        statement = statement.where(Module.form == form)
    if class_name is not None:
        statement = statement.where(_knows(class_name))
    return fetch_page(session, statement, (Module.created_at, Module.id), request)


def best_for_class(session: Session, request: PageRequest, class_name: str) -> Page[Module]:
    """Modules that know the class, best validation score first."""
    statement = select(Module).where(_knows(class_name))
    return fetch_page(session, statement, (_score(), Module.created_at, Module.id), request)


def scores_of(session: Session, module_ids: Sequence[str]) -> dict[str, float | None]:
    """Module id -> validation score."""
    rows = session.execute(select(Module.id, _score()).where(Module.id.in_(module_ids)))
    return {module_id: _measured(score) for module_id, score in rows}


def single_class_candidates(
    session: Session, classes: Sequence[str], *, model_id: str | None, gated: bool
) -> list[Candidate]:
    """Modules of exactly one class, for any of `classes`; `gated`: of models that have mask generators."""
    other = aliased(ModuleClass)
    alone = ~exists().where(other.module_id == Module.id, other.name != ModuleClass.name)
    statement = (
        select(Module, Model, ModuleClass.name, _score())
        .join(ModuleClass, ModuleClass.module_id == Module.id)
        .join(Model, Model.id == Module.model_id)
        .where(ModuleClass.name.in_(classes), alone)
    )
    if gated:
        statement = statement.where(tuple_(Model.approach, Model.recipe).in_(GATED_RECIPES))
    if model_id is not None:
        statement = statement.where(Module.model_id == model_id)
    rows = session.execute(statement)
    return [Candidate(module, model, name, _measured(score)) for module, model, name, score in rows]


def classes_of(session: Session, module_ids: Sequence[str]) -> dict[str, list[str]]:
    """Module id -> class names in the order of the outputs."""
    statement = (
        select(ModuleClass)
        .where(ModuleClass.module_id.in_(module_ids))
        .order_by(ModuleClass.module_id, ModuleClass.position)
    )
    found: dict[str, list[str]] = {}
    for row in session.scalars(statement):
        found.setdefault(row.module_id, []).append(row.name)
    return found


def _knows(class_name: str) -> ColumnElement[bool]:
    known = aliased(ModuleClass)
    return exists().where(known.module_id == Module.id, known.name == class_name)


def _score() -> ColumnElement[float]:
    """The newest validation f1, else accuracy, of the module in the surrounding query."""
    newest = (
        select(Metric.value)
        .where(
            Metric.owner_id == Module.id,
            Metric.split == "validation",
            Metric.name.in_(("f1", "accuracy")),
            Metric.class_name.is_(None),
        )
        .order_by(case((Metric.name == "f1", 0), else_=1), Metric.id.desc())
        .limit(1)
        .correlate(Module)
        .scalar_subquery()
    )
    return func.coalesce(newest, literal(_UNMEASURED, Float(53)), type_=Float(53))


def _measured(score: float) -> float | None:
    return None if score == _UNMEASURED else score
