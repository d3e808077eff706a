"""Every query about modules."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import case, delete, exists, select, tuple_
from sqlalchemy.orm import Bundle, Session, aliased

from core.specs import GATED_RECIPES
from service.models import service as models
from service.models.tables import Model
from service.modules.schemas import ClassSearch, ModuleSearch
from service.modules.tables import Module, ModuleClass
from service.platform.among import Told, among
from service.platform.holding import Lock, unlocked
from service.platform.pagination import Page, PageRequest, fetch_page
from service.registry.reading import Seen, seen, seen_by_id
from service.registry.scores import UNMEASURED, measured
from service.registry.search import Found, ScoredBounds, newest, search, within

_SEEN = seen(Module)
# f1 where it is measured, else accuracy, on validation data; as the rows of the classes have it.
_SCORE = case((Module.f1_validation > UNMEASURED, Module.f1_validation), else_=Module.accuracy_validation)
_MATCH: Bundle[Any] = Bundle("match", Module.id, Module.revision, Module.model_id, _SCORE.label("score"))

_module, _class = Module.__table__.c, ModuleClass.__table__.c
_ROWS = Told(select(*_module), _module.id)
_CLASSES = Told(
    select(_class.module_id, _class.name).order_by(_class.module_id, _class.position), _class.module_id
)


@dataclass(frozen=True)
class Candidate:
    """A module of exactly one class, and its model. `score` is its validation f1, or None."""

    module: Module
    model: Model
    class_name: str
    score: float | None


def find(session: Session, module_id: str, lock: Lock = unlocked) -> Module | None:
    return session.scalar(lock(select(Module).where(Module.id == module_id)))


def find_locked(session: Session, module_id: str) -> Module | None:
    """The module, changed by nobody else until this transaction ends."""
    row = select(Module).where(Module.id == module_id).with_for_update(key_share=True)
    return session.scalar(row, execution_options={"populate_existing": True})


def find_seen(session: Session, module_id: str) -> Seen | None:
    return seen_by_id(session, Module, module_id)


def find_many(session: Session, module_ids: Sequence[str]) -> dict[str, Module]:
    return {row.id: row for row in session.scalars(select(Module).where(among(Module.id, module_ids)))}


def told_of(session: Session, module_ids: Sequence[str]) -> Sequence[Any]:
    """The rows of these ids, in any order, not to be changed."""
    return _ROWS.rows(session, module_ids)


def page(session: Session, wanted: ModuleSearch, request: PageRequest) -> Page[Seen]:
    found = Found(Module, Module, Module.id) if wanted.class_name is None else _knowing(wanted.class_name)
    traits = [
        *_equal(model_id=wanted.model_id, form=wanted.form),
        *models.of_origin(session, Module.model_id, wanted.origin),
    ]
    return search(session, found, wanted.bounds, (wanted.sort, request), traits)


def page_of_model(session: Session, model_id: str, request: PageRequest) -> Page[Seen]:
    """A model's modules, newest first."""
    statement = select(_SEEN).where(Module.model_id == model_id)
    return fetch_page(session, statement, (Module.created_at, Module.id), request)


def best_for_class(session: Session, wanted: ClassSearch, request: PageRequest) -> Page[Any]:
    """(id, revision, model_id, score) of the modules that know the class and fit, best first."""
    bounds = ScoredBounds(
        max_parameters=wanted.max_params,
        min_f1=wanted.min_f1,
        min_accuracy=wanted.min_accuracy,
        split=wanted.split,
    )
    return _knowing(wanted.name, _MATCH).page(
        session,
        ModuleClass.score,
        request,
        narrowed=within(ModuleClass, bounds),
        traits=_equal(model_id=wanted.model_id, form=wanted.form),
    )


def rate(session: Session, module_id: str, scores: Mapping[str, float]) -> None:
    """Keep figures beside the module."""
    module = session.get_one(Module, module_id)
    for name, value in scores.items():
        setattr(module, name, value)


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
    found: dict[str, list[str]] = {}
    for module_id, name in _CLASSES.rows(session, module_ids):
        found.setdefault(module_id, []).append(name)
    return found


def ids_of_model(session: Session, model_id: str, limit: int = 3) -> Sequence[str]:
    return session.scalars(select(Module.id).where(Module.model_id == model_id).limit(limit)).all()


def newest_of_model(session: Session, model_id: str) -> tuple[int, list[str]]:
    return newest(session, Module, Module.model_id == model_id)


def remove(session: Session, module_id: str) -> None:
    session.execute(delete(Module).where(Module.id == module_id))


def _knowing(class_name: str, told: Any = None) -> Found:
    return Found(Module, ModuleClass, ModuleClass.module_id, [ModuleClass.name == class_name], told)


def _equal(**wanted: str | None) -> list[Any]:
    return [getattr(Module, name) == value for name, value in wanted.items() if value is not None]
