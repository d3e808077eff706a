"""What the lists of the registry can be narrowed and sorted by."""

import re
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Query
from pydantic import AwareDatetime, BeforeValidator, Field
from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from service.platform.pagination import Page, PageRequest, fetch_page
from service.registry.labels import Tag
from service.registry.repository import labelled
from service.registry.scores import UNMEASURED, Figure, Split, column_of

NEWEST = 100

RowT = TypeVar("RowT")

Name = Annotated[str | None, Query(max_length=200)]
IdFilter = Annotated[str | None, Query(max_length=64)]
ClassFilter = Annotated[str | None, Query(alias="class", max_length=200, description="A class it knows.")]
Ceiling = Annotated[int | None, Query(alias="parameters[lte]", ge=0, lt=2**63)]
Floor = Annotated[float | None, Query(ge=0, le=1, description="At least this, on the data of `split`.")]
Tags = Annotated[list[Tag] | None, Query(alias="tag", max_length=16, description="Carries each of them.")]
Pairs = Annotated[
    list[Annotated[str, Field(max_length=600, pattern="^[^=]+=")]] | None,
    Query(max_length=16, description="key=value: carries each of these pairs of metadata."),
]
SplitFilter = Annotated[Split, Query(description="The data that floors and sorting look at.")]


def _only_dates(text: str) -> str:
    """Pydantic reads a bare number as seconds since 1970; whoever sends one meant something else."""
    if not re.match(r"\d{4}-\d\d-\d\d", text):
        raise ValueError("must be a date and time with an offset, as RFC 3339 writes them")
    return text


Moment = Annotated[AwareDatetime, BeforeValidator(_only_dates)]


@dataclass(frozen=True)
class Origin:
    """FastAPI dependency: what the model is like, of which it is or was made."""

    architecture: Name = None
    approach: Name = None
    recipe: Name = None
    dataset: Name = None


@dataclass(frozen=True)
class Bounds:
    """FastAPI dependency: when it was made, how large it may be, how good it must be at least."""

    created_from: Annotated[Moment | None, Query(alias="created_at[gte]")] = None
    created_before: Annotated[Moment | None, Query(alias="created_at[lt]")] = None
    max_parameters: Ceiling = None
    min_accuracy: Floor = None
    split: SplitFilter = "validation"
    tags: Tags = None
    metadata: Pairs = None

    def floors(self) -> dict[Figure, float | None]:
        return {"accuracy": self.min_accuracy}


@dataclass(frozen=True)
class ScoredBounds(Bounds):
    """The same of what has an f1 too."""

    min_f1: Floor = None

    def floors(self) -> dict[Figure, float | None]:
        return {"accuracy": self.min_accuracy, "f1": self.min_f1}


def search(
    session: Session, statement: Select[RowT], columns: Any, bounds: Bounds, order: tuple[str, PageRequest]
) -> Page[RowT]:
    """One page within the bounds. `order`: the sort as asked for, and the page.

    A sort is `created_at`, `parameters`, `f1` or `accuracy`, with a leading `-` for the largest first. By a
    figure it lists what it was measured of, by size what has one: a composition has none before it is built.

    Args:
        columns: What has the columns to compare, as attributes: the entity, or what is indexed in its place.
    """
    sort, request = order
    name = sort.removeprefix("-")
    key = getattr(columns, column_of(name, bounds.split) if name in ("f1", "accuracy") else name)
    statement = statement.where(*conditions(columns, bounds))
    if name == "parameters":
        statement = statement.where(key.is_not(None))
    elif name != "created_at":
        statement = statement.where(key > UNMEASURED)
    return fetch_page(session, statement, (key, columns.id), request, ascending=sort == name)


def conditions(columns: Any, bounds: Bounds) -> list[Any]:
    """The bounds as conditions on the columns."""
    limits = [
        (columns.created_at.__ge__, bounds.created_from),
        (columns.created_at.__lt__, bounds.created_before),
        (columns.parameters.__le__, bounds.max_parameters),
        *(
            (getattr(columns, column_of(figure, bounds.split)).__ge__, floor)
            for figure, floor in bounds.floors().items()
        ),
    ]
    labels = [("", tag) for tag in bounds.tags or []]
    labels += [(pair.partition("=")[0], pair.partition("=")[2]) for pair in bounds.metadata or []]
    return [compare(value) for compare, value in limits if value is not None] + [
        labelled(columns.id, key, value) for key, value in labels
    ]


def newest(session: Session, entity: Any, condition: Any) -> tuple[int, list[str]]:
    """How many rows there are, and the ids of the newest."""
    total = session.scalar(select(func.count()).select_from(entity).where(condition)) or 0
    rows = select(entity.id).where(condition).order_by(entity.created_at.desc(), entity.id.desc())
    return total, list(session.scalars(rows.limit(NEWEST)))
