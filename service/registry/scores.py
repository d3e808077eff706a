"""Figures to search by: copies, beside what was measured, of the newest figure on each split.

A list sorted or filtered by a figure reads one index; the rows of `metrics` would have to be looked up for
every candidate.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import BigInteger, Float, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from core.results import MetricValue
from service.platform.clock import Instant

Figure = Literal["f1", "accuracy"]
Split = Literal["validation", "test"]

# Below every real score, so that what was never measured comes last.
UNMEASURED = -1.0
ACCURACIES = ("accuracy_validation", "accuracy_test")
SCORES = ("f1_validation", "f1_test", *ACCURACIES)


def _score() -> Mapped[float]:
    return mapped_column(Float(53), default=UNMEASURED, server_default="-1")


class Accurate:
    """A row whose accuracy can be searched by."""

    accuracy_validation: Mapped[float] = _score()
    accuracy_test: Mapped[float] = _score()


class Scored(Accurate):
    """A row that has an f1 too: what knows one class is measured as a detector of it."""

    f1_validation: Mapped[float] = _score()
    f1_test: Mapped[float] = _score()


class Finds:
    """A row that something is found by: a class it knows, a label it carries.

    What lists are sorted and narrowed by is copied from what is found, by the database itself: here, and in
    the scores, which the row has beside this.
    """

    created_at: Mapped[datetime] = mapped_column(Instant, server_default="0")
    parameters: Mapped[int | None] = mapped_column(BigInteger)


def column_of(figure: str, split: Split) -> str:
    return f"{figure}_{split}"


def search_indexes(
    table: str, scores: tuple[str, ...], *, equal: tuple[str, ...] = (), row_id: str = "id"
) -> tuple[Index, ...]:
    """One index for each column that a list is sorted by, with the others to compare on the way.

    Args:
        scores: Sorted by too, beside `created_at` and `parameters`. What is not measured is in no list of it.
        equal: Columns that one value is asked of, as the tenant is.
        row_id: The column that names what is found.
    """
    columns = ("created_at", "parameters", *scores)
    return tuple(
        Index(
            f"ix_{table}_by_{name}",
            *("tenant_id", *equal, name, row_id),
            *(other for other in columns if other != name),
            **_where(f"{name} > {UNMEASURED:g}" if name in scores else None),
        )
        for name in columns
    )


def _where(condition: str | None) -> dict[str, Any]:
    if condition is None:
        return {}
    return {"postgresql_where": text(condition), "sqlite_where": text(condition)}


def scores_of(metrics: Iterable[MetricValue]) -> dict[str, float]:
    """Column -> value of the figures that are of the whole and on a split to choose or to report by."""
    found = {f"{m.name}_{m.split}": m.value for m in metrics if m.class_name is None}
    return {name: value for name, value in found.items() if name in SCORES}


def measured(score: float) -> float | None:
    """A stored score as it is told: null where nothing was measured."""
    return None if score == UNMEASURED else score
