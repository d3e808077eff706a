"""What the lists of the registry can be narrowed and sorted by."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Query
from pydantic import AwareDatetime, BeforeValidator, Field
from sqlalchemy import Float, func, literal_column, select
from sqlalchemy.orm import Session

from service.platform.ids import Prefix
from service.platform.pagination import Page, PageRequest, fetch_page, fetch_page_found
from service.registry.labels import TAG_KEY, Tag
from service.registry.reading import seen
from service.registry.repository import labelled
from service.registry.scores import UNMEASURED, Figure, Split, column_of
from service.registry.tables import Label

NEWEST = 100
# Written into the statement: a parameter tells SQLite nothing of what the indexes of scores leave out.
_MEASURED = literal_column(f"{UNMEASURED:g}", Float)
_PREFIXES: dict[str, Prefix] = {"models": "mdl", "modules": "mod", "compositions": "cmp"}

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

    def labels(self) -> list[tuple[str, str]]:
        """(key, value) of each label asked for."""
        pairs = [pair.partition("=") for pair in self.metadata or []]
        return [(TAG_KEY, tag) for tag in self.tags or []] + [(key, value) for key, _, value in pairs]


@dataclass(frozen=True)
class ScoredBounds(Bounds):
    """The same of what has an f1 too."""

    min_f1: Floor = None

    def floors(self) -> dict[Figure, float | None]:
        return {"accuracy": self.min_accuracy, "f1": self.min_f1}


@dataclass(frozen=True)
class Found:
    """Rows of `entity` as they are found: by themselves, or by rows that stand for one of them each.

    Args:
        rows: What is looked through; has the columns to sort and narrow by.
        row_id: Its column that names the entity's row.
        conditions: Which of them.
        told: What is answered of the entity's rows; their `Seen` where None.
    """

    entity: Any
    rows: Any
    row_id: Any
    conditions: Sequence[Any] = ()
    told: Any = None

    def page(
        self,
        session: Session,
        key: Any,
        request: PageRequest,
        *,
        narrowed: Sequence[Any],
        traits: Sequence[Any],
        ascending: bool = False,
    ) -> Page[Any]:
        """One page, sorted by a column of `rows`.

        Args:
            narrowed: Conditions on `rows`.
            traits: Conditions on the entity itself.
        """
        told = seen(self.entity) if self.told is None else self.told
        by_itself = self.rows is self.entity
        if by_itself and not narrowed and not traits:  # the page's rows are the only ones looked at
            return fetch_page(session, select(told), (key, self.row_id), request, ascending=ascending)
        found = select().where(*self.conditions, *narrowed, *traits)
        if traits and not by_itself:
            found = found.where(self.row_id == self.entity.id)
        return fetch_page_found(
            session, found, (key, self.row_id), request, ascending=ascending, told=(told, self.entity.id)
        )


def search(
    session: Session,
    found: Found,
    bounds: Bounds,
    order: tuple[str, PageRequest],
    traits: Sequence[Any],
) -> Page[Any]:
    """One page within the bounds. `order`: the sort as asked for, and the page.

    A sort is `created_at`, `parameters`, `f1` or `accuracy`, with a leading `-` for the largest first. By a
    figure it lists what it was measured of, by size what has one: a composition has none before it is built.

    Args:
        found: By the rows of a class, if one is asked for; else by themselves, or here by their first label.
        traits: Conditions on the entity itself.
    """
    labels = bounds.labels()
    kind = _PREFIXES[found.entity.__tablename__]
    if labels and found.rows is found.entity:
        found = _carrying(found.entity, kind, *labels.pop(0))
    sort, request = order
    name = sort.removeprefix("-")
    key = getattr(found.rows, column_of(name, bounds.split) if name in ("f1", "accuracy") else name)
    narrowed = [*within(found.rows, bounds), *(labelled(found.row_id, kind, *label) for label in labels)]
    if name == "parameters":
        narrowed.append(key.is_not(None))
    elif name != "created_at":
        narrowed.append(key > _MEASURED)
    return found.page(session, key, request, narrowed=narrowed, traits=traits, ascending=sort == name)


def within(rows: Any, bounds: Bounds) -> list[Any]:
    """The bounds, but for the labels, as conditions on the columns."""
    limits = (
        (rows.created_at.__ge__, bounds.created_from),
        (rows.created_at.__lt__, bounds.created_before),
        (rows.parameters.__le__, bounds.max_parameters),
        *(
            (getattr(rows, column_of(figure, bounds.split)).__ge__, floor)
            for figure, floor in bounds.floors().items()
        ),
    )
    return [compare(value) for compare, value in limits if value is not None]


def _carrying(entity: Any, kind: str, key: str, value: str) -> Found:
    """By one label. It may be carried by other kinds too, however many: the index leads past them."""
    conditions = (Label.kind == kind, Label.key == key, Label.value == value)
    return Found(entity, Label, Label.owner_id, conditions)


def newest(session: Session, entity: Any, condition: Any) -> tuple[int, list[str]]:
    """How many rows there are, and the ids of the newest."""
    total = session.scalar(select(func.count()).select_from(entity).where(condition)) or 0
    rows = select(entity.id).where(condition).order_by(entity.created_at.desc(), entity.id.desc())
    return total, list(session.scalars(rows.limit(NEWEST)))
