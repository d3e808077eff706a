"""Figures to search by: copies, beside what was measured, of the newest figure on each split.

A list sorted or filtered by a figure reads one index; the rows of `metrics` would have to be looked up for
every candidate.
"""

from collections.abc import Iterable
from typing import Literal

from sqlalchemy import Float, Index
from sqlalchemy.orm import Mapped, mapped_column

from core.results import MetricValue

Figure = Literal["f1", "accuracy"]
Split = Literal["validation", "test"]

# Below every real score, so that what was never measured comes last.
UNMEASURED = -1.0
SCORES = ("f1_validation", "f1_test", "accuracy_validation", "accuracy_test")


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


def column_of(figure: str, split: Split) -> str:
    return f"{figure}_{split}"


def search_indexes(table: str, *columns: str) -> tuple[Index, ...]:
    """One index for each column that a list is sorted by: the tenant first, the id last."""
    return tuple(Index(f"ix_{table}_tenant_{name}", "tenant_id", name, "id") for name in columns)


def scores_of(metrics: Iterable[MetricValue]) -> dict[str, float]:
    """Column -> value of the figures that are of the whole and on a split to choose or to report by."""
    found = {f"{m.name}_{m.split}": m.value for m in metrics if m.class_name is None}
    return {name: value for name, value in found.items() if name in SCORES}


def measured(score: float) -> float | None:
    """A stored score as it is told: null where nothing was measured."""
    return None if score == UNMEASURED else score
