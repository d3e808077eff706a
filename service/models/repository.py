"""Every query about models, their classes and measured figures."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, case, delete, or_, select, update
from sqlalchemy.orm import Session

from service.datasets.tables import Dataset
from service.models.schemas import ModelSearch
from service.models.tables import Metric, Model, ModelAlias, ModelClass, ModelName
from service.platform.among import Told
from service.platform.database import insert_if_absent
from service.platform.holding import Lock, unlocked
from service.platform.pagination import Page, PageRequest
from service.registry.reading import Seen
from service.registry.search import Found, Origin, newest, search

_model, _class, _metric, _dataset = (entity.__table__.c for entity in (Model, ModelClass, Metric, Dataset))
_ROWS = Told(select(*_model), _model.id)
_CLASSES = Told(
    select(_class.model_id, _class.name).order_by(_class.model_id, _class.position), _class.model_id
)
_METRICS = Told(
    select(
        *(_metric.owner_id, _metric.name, _metric.value, _metric.split, _metric.class_name, _metric.epoch),
        case((_dataset.uploaded, _dataset.id), else_=_dataset.name).label("dataset"),
    )
    .select_from(Metric.__table__.outerjoin(Dataset.__table__, _dataset.id == _metric.dataset_id))
    .order_by(_metric.id),
    _metric.owner_id,
)
_alias = ModelAlias.__table__.c
_ALIASES = Told(select(_alias.model_id, _alias.alias), _alias.model_id)


# `what`: the model, or what is read of it.
def find(session: Session, model_id: str, what: Any = Model, lock: Lock = unlocked) -> Any:
    return session.scalar(lock(select(what).where(Model.id == model_id)))


def told_of(session: Session, model_ids: Sequence[str]) -> Sequence[Any]:
    """The rows of these ids, in any order, not to be changed."""
    return _ROWS.rows(session, model_ids)


def find_locked(session: Session, model_id: str, *others: str) -> Model | None:
    """The model, changed by nobody else until this transaction ends; nor are `others`."""
    rows = select(Model).where(Model.id.in_([model_id, *others])).order_by(Model.id)
    locked = session.scalars(
        rows.with_for_update(key_share=True), execution_options={"populate_existing": True}
    )
    return {model.id: model for model in locked}.get(model_id)


def find_version(
    session: Session, name: str, version: int | None, what: Any = Model, lock: Lock = unlocked
) -> Any:
    """A version of a name; None = the newest there is."""
    rows = select(what).where(Model.name == name, Model.version.is_not(None))
    if version is not None:
        rows = rows.where(Model.version == version)
    return session.scalar(lock(rows.order_by(Model.version.desc()).limit(1)))


def find_alias(session: Session, name: str, alias: str, what: Any = Model, lock: Lock = unlocked) -> Any:
    meant = select(ModelAlias.model_id).where(ModelAlias.name == name, ModelAlias.alias == alias)
    return session.scalar(lock(select(what).where(Model.id == meant.scalar_subquery())))


def next_version(session: Session, tenant_id: str, name: str) -> int:
    """A number that no model of this name has had; of two callers each gets its own."""
    identity = {"tenant_id": tenant_id, "name": name}
    insert_if_absent(session, ModelName, {**identity, "last_version": 0}, key=list(identity))
    counted = update(ModelName).filter_by(**identity).values(last_version=ModelName.last_version + 1)
    return session.scalars(counted.returning(ModelName.last_version)).one()


def put_alias(session: Session, model: Model, alias: str) -> None:
    identity = {"tenant_id": model.tenant_id, "name": str(model.name), "alias": alias}
    insert_if_absent(session, ModelAlias, {**identity, "model_id": model.id}, key=list(identity))
    session.execute(update(ModelAlias).filter_by(**identity).values(model_id=model.id))


def drop_aliases(session: Session, model_id: str, alias: str | None = None) -> list[str]:
    """Take this alias, or every one, off the model. Returns those that are gone."""
    gone = delete(ModelAlias).where(ModelAlias.model_id == model_id)
    if alias is not None:
        gone = gone.where(ModelAlias.alias == alias)
    return list(session.scalars(gone.returning(ModelAlias.alias)))


def aliases_of(session: Session, model_ids: Sequence[str]) -> dict[str, list[str]]:
    """Model id -> aliases, in alphabetical order, of those that have any."""
    found: dict[str, list[str]] = {}
    for model_id, alias in sorted(_ALIASES.rows(session, model_ids)):  # not by the database's language
        found.setdefault(model_id, []).append(alias)
    return found


def page(session: Session, wanted: ModelSearch, request: PageRequest) -> Page[Seen]:
    found = Found(Model, Model, Model.id)
    if wanted.class_name is not None:
        found = Found(Model, ModelClass, ModelClass.model_id, [ModelClass.name == wanted.class_name])
    traits = _traits(session, wanted.origin)
    if wanted.name is not None:
        traits.append(Model.name == wanted.name)
    return search(session, found, wanted.bounds, (wanted.sort, request), traits)


def of_origin(session: Session, column: Any, origin: Origin) -> list[ColumnElement[bool]]:
    """The conditions that a column names a model of such an origin; none where it may be any."""
    traits = _traits(session, origin)
    return [column.in_(select(Model.id).where(*traits))] if traits else []


def rate(session: Session, model_id: str, scores: Mapping[str, float]) -> None:
    session.execute(update(Model).where(Model.id == model_id).values(**scores))


def classes_of(session: Session, model_ids: Sequence[str]) -> dict[str, list[str]]:
    """Model id -> class names in the order of the outputs."""
    found: dict[str, list[str]] = {}
    for model_id, name in _CLASSES.rows(session, model_ids):
        found.setdefault(model_id, []).append(name)
    return found


def metrics_of(session: Session, owner_ids: Sequence[str]) -> Sequence[Any]:
    """(owner_id, name, value, split, class_name, epoch, dataset) of these owners' figures, oldest first.

    dataset: as a spec names it; null = the one that the model is of.
    """
    return _METRICS.rows(session, owner_ids)


def ids_started_from(session: Session, model_id: str, limit: int = 3) -> Sequence[str]:
    return session.scalars(select(Model.id).where(Model.initial_model_id == model_id).limit(limit)).all()


def newest_started_from(session: Session, model_id: str) -> tuple[int, list[str]]:
    return newest(session, Model, Model.initial_model_id == model_id)


def remove(session: Session, model_id: str) -> None:
    session.execute(delete(Model).where(Model.id == model_id))


def remove_metrics(session: Session, owner_id: str) -> None:
    session.execute(delete(Metric).where(Metric.owner_id == owner_id))


def _traits(session: Session, origin: Origin) -> list[Any]:
    columns = {"architecture": Model.architecture, "approach": Model.approach, "recipe": Model.recipe}
    found = [
        column == getattr(origin, name)
        for name, column in columns.items()
        if getattr(origin, name) is not None
    ]
    if origin.dataset is not None:
        # Looked up beforehand: the database plans by how many models these very datasets have.
        named = select(Dataset.id).where(or_(Dataset.name == origin.dataset, Dataset.id == origin.dataset))
        found.append(Model.dataset_id.in_(session.scalars(named).all()))
    return found
