"""Every query about models, their classes and measured figures."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Select, delete, exists, select, update
from sqlalchemy.orm import Session

from service.datasets.tables import Dataset
from service.models.schemas import ModelSearch
from service.models.tables import Metric, Model, ModelClass
from service.platform.pagination import Page, PageRequest
from service.registry.search import Origin, search


def find(session: Session, model_id: str) -> Model | None:
    return session.scalar(select(Model).where(Model.id == model_id))


def page(session: Session, wanted: ModelSearch, request: PageRequest) -> Page[Model]:
    statement = select(Model).where(*_traits(wanted.origin))
    if wanted.class_name is not None:
        knows = exists().where(ModelClass.model_id == Model.id, ModelClass.name == wanted.class_name)
        statement = statement.where(knows)
    return search(session, statement, Model, wanted.bounds, (wanted.sort, request))


def ids_like(origin: Origin) -> Select[str] | None:
    """The ids of the models of such an origin; None = of any."""
    traits = _traits(origin)
    return select(Model.id).where(*traits) if traits else None


def rate(session: Session, model_id: str, scores: Mapping[str, float]) -> None:
    session.execute(update(Model).where(Model.id == model_id).values(**scores))


def classes_of(session: Session, model_ids: Sequence[str]) -> dict[str, list[str]]:
    """Model id -> class names in the order of the outputs."""
    statement = (
        select(ModelClass.model_id, ModelClass.name)
        .where(ModelClass.model_id.in_(model_ids))
        .order_by(ModelClass.model_id, ModelClass.position)
    )
    found: dict[str, list[str]] = {}
    for model_id, name in session.execute(statement):
        found.setdefault(model_id, []).append(name)
    return found


def metrics_of(session: Session, owner_ids: Sequence[str]) -> Sequence[Any]:
    """(owner_id, name, value, split, class_name, epoch) of these owners' figures, oldest first."""
    columns = (Metric.owner_id, Metric.name, Metric.value, Metric.split, Metric.class_name, Metric.epoch)
    return session.execute(select(*columns).where(Metric.owner_id.in_(owner_ids)).order_by(Metric.id)).all()


def remove(session: Session, model_id: str) -> None:
    session.execute(delete(Model).where(Model.id == model_id))


def remove_metrics(session: Session, owner_id: str) -> None:
    session.execute(delete(Metric).where(Metric.owner_id == owner_id))


def _traits(origin: Origin) -> list[Any]:
    columns = {"architecture": Model.architecture, "approach": Model.approach, "recipe": Model.recipe}
    found = [
        column == getattr(origin, name)
        for name, column in columns.items()
        if getattr(origin, name) is not None
    ]
    if origin.dataset is not None:
        found.append(Model.dataset_id.in_(select(Dataset.id).where(Dataset.name == origin.dataset)))
    return found
