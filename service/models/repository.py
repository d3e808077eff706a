"""Every query about models, their classes and measured figures."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.models.tables import Metric, Model, ModelClass
from service.platform.pagination import Page, PageRequest, fetch_page


def find(session: Session, model_id: str) -> Model | None:
    return session.scalar(select(Model).where(Model.id == model_id))


def page(session: Session, request: PageRequest, filters: dict[str, str | None]) -> Page[Model]:
    """Models, newest first; `filters` are column name -> value, None = any."""
    statement = select(Model)
    for name, value in filters.items():
        if value is not None:
            statement = statement.where(getattr(Model, name) == value)
    return fetch_page(session, statement, (Model.created_at, Model.id), request)


def classes_of(session: Session, model_ids: Sequence[str]) -> dict[str, list[str]]:
    """Model id -> class names in the order of the outputs."""
    statement = (
        select(ModelClass)
        .where(ModelClass.model_id.in_(model_ids))
        .order_by(ModelClass.model_id, ModelClass.position)
    )
    found: dict[str, list[str]] = {}
    for row in session.scalars(statement):
        found.setdefault(row.model_id, []).append(row.name)
    return found


def metrics_of(session: Session, owner_ids: Sequence[str]) -> Sequence[Metric]:
    """Figures of these owners, oldest first."""
    return session.scalars(select(Metric).where(Metric.owner_id.in_(owner_ids)).order_by(Metric.id)).all()
