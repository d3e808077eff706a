"""Every query about modules."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, exists, select, tuple_, update
from sqlalchemy.orm import Session, aliased

from core.specs import GATED_RECIPES
from service.models import service as models
from service.models.tables import Model
from service.modules.schemas import ClassSearch, ModuleSearch
from service.modules.tables import Module, ModuleClass
from service.platform.pagination import Page, PageRequest, fetch_page
from service.registry.scores import UNMEASURED, column_of, measured
from service.registry.search import newest, search


@dataclass(frozen=True)
class Candidate:
    """A module of exactly one class, and its model. `score` is its validation f1, or None."""

    module: Module
    model: Model
    class_name: str
    score: float | None


def find(session: Session, module_id: str) -> Module | None:
    return session.scalar(select(Module).where(Module.id == module_id))


def find_locked(session: Session, module_id: str) -> Module | None:
    """The module, changed by nobody else until this transaction ends."""
    row = select(Module).where(Module.id == module_id).with_for_update(key_share=True)
    return session.scalar(row, execution_options={"populate_existing": True})


def find_many(session: Session, module_ids: Sequence[str]) -> dict[str, Module]:
    return {row.id: row for row in session.scalars(select(Module).where(Module.id.in_(module_ids)))}


class _ByClass:
    """The columns of a module to compare when a class is given: those beside the class, if there are any."""

    id, created_at, parameters = ModuleClass.module_id, ModuleClass.created_at, ModuleClass.parameters
    f1_validation = ModuleClass.score  # the same, of a module that has an f1
    f1_test, accuracy_test = Module.f1_test, Module.accuracy_test
    accuracy_validation = Module.accuracy_validation


def page(session: Session, wanted: ModuleSearch, request: PageRequest) -> Page[Module]:
    statement = select(Module).where(*_equal(model_id=wanted.model_id, form=wanted.form))
    model_ids = models.ids_like(wanted.origin)
    if model_ids is not None:
        statement = statement.where(Module.model_id.in_(model_ids))
    order = (wanted.sort, request)
    if wanted.class_name is None:
        return search(session, statement, Module, wanted.bounds, order)
    statement = statement.join(ModuleClass, ModuleClass.module_id == Module.id)
    statement = statement.where(ModuleClass.name == wanted.class_name)
    if wanted.bounds.split == "validation" and (wanted.sort == "-f1" or wanted.bounds.min_f1 is not None):
        statement = statement.where(Module.f1_validation >= (wanted.bounds.min_f1 or 0))
    return search(session, statement, _ByClass, wanted.bounds, order)


def page_of_model(session: Session, model_id: str, request: PageRequest) -> Page[Module]:
    """A model's modules, newest first."""
    statement = select(Module).where(Module.model_id == model_id)
    return fetch_page(session, statement, (Module.created_at, Module.id), request)


def best_for_class(session: Session, wanted: ClassSearch, request: PageRequest) -> Page[Module]:
    """Modules that know the class and fit, best validation score first."""
    statement = select(Module).join(ModuleClass, ModuleClass.module_id == Module.id)
    statement = statement.where(
        ModuleClass.name == wanted.name, *_equal(model_id=wanted.model_id, form=wanted.form)
    )
    if wanted.max_params is not None:
        statement = statement.where(ModuleClass.parameters <= wanted.max_params)
    if wanted.min_f1 is not None:
        statement = statement.where(getattr(Module, column_of("f1", wanted.split)) >= wanted.min_f1)
        if wanted.split == "validation":  # implied, as the score is the f1 where there is one: for the index
            statement = statement.where(ModuleClass.score >= wanted.min_f1)
    if wanted.min_accuracy is not None:
        floor = getattr(Module, column_of("accuracy", wanted.split)) >= wanted.min_accuracy
        statement = statement.where(floor)
    return fetch_page(session, statement, (ModuleClass.score, ModuleClass.module_id), request)


def rate(session: Session, module_id: str, scores: Mapping[str, float]) -> None:
    """Keep figures beside the module, and the one that ranks it beside its classes."""
    module = session.get_one(Module, module_id)
    for name, value in scores.items():
        setattr(module, name, value)
    ranked = update(ModuleClass).where(ModuleClass.module_id == module_id)
    session.execute(ranked.values(score=score_of(module)))


def score_of(module: Module) -> float:
    """f1 where it is measured, else accuracy, on validation data."""
    return module.accuracy_validation if measured(module.f1_validation) is None else module.f1_validation


def single_class_candidates(
    session: Session, classes: Sequence[str], *, model_id: str | None, gated: bool
) -> list[Candidate]:
    """Modules of exactly one class, for any of `classes`; `gated`: of models that have mask generators."""
    other = aliased(ModuleClass)
    alone = ~exists().where(other.module_id == Module.id, other.name != ModuleClass.name)
    statement = (
        select(Module, Model, ModuleClass.name, ModuleClass.score)
        .join(ModuleClass, ModuleClass.module_id == Module.id)
        .join(Model, Model.id == Module.model_id)
        .where(ModuleClass.name.in_(classes), alone)
    )
    if gated:
        statement = statement.where(tuple_(Model.approach, Model.recipe).in_(GATED_RECIPES))
    if model_id is not None:
        statement = statement.where(Module.model_id == model_id)
    rows = session.execute(statement)
    return [Candidate(module, model, name, measured(score)) for module, model, name, score in rows]


def f1_by_threshold(session: Session, model_id: str, form: str) -> dict[tuple[str, float], float]:
    """(class, threshold) -> validation f1 of the newest module measured as a detector of the class."""
    statement = (
        select(ModuleClass.name, Module.threshold, Module.f1_validation)
        .join(ModuleClass, ModuleClass.module_id == Module.id)
        .where(Module.model_id == model_id, Module.form == form, Module.f1_validation > UNMEASURED)
        .order_by(Module.created_at, Module.id)
    )
    return {(name, threshold): f1 for name, threshold, f1 in session.execute(statement)}


def classes_of(session: Session, module_ids: Sequence[str]) -> dict[str, list[str]]:
    """Module id -> class names in the order of the outputs."""
    statement = (
        select(ModuleClass.module_id, ModuleClass.name)
        .where(ModuleClass.module_id.in_(module_ids))
        .order_by(ModuleClass.module_id, ModuleClass.position)
    )
    found: dict[str, list[str]] = {}
    for module_id, name in session.execute(statement):
        found.setdefault(module_id, []).append(name)
    return found


def ids_of_model(session: Session, model_id: str, limit: int = 3) -> Sequence[str]:
    return session.scalars(select(Module.id).where(Module.model_id == model_id).limit(limit)).all()


def newest_of_model(session: Session, model_id: str) -> tuple[int, list[str]]:
    return newest(session, Module, Module.model_id == model_id)


def remove(session: Session, module_id: str) -> None:
    session.execute(delete(Module).where(Module.id == module_id))


def _equal(**wanted: str | None) -> list[Any]:
    return [getattr(Module, name) == value for name, value in wanted.items() if value is not None]
