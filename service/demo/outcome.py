"""What the demo found, as plain data: the tables, the promises and `demo.json` are made from it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from service.client.schemas import Composition, Metric, Model, Module
from service.demo.plan import FULL_ACCURACY_FLOOR, GATED_LOSS_CEILING
from service.demo.standalone import Measured


@dataclass
class ComposedForm:
    """One composition in one form, and the full model on the same classes. Accuracies on test data."""

    form: str
    composition: Composition
    seconds: float
    full_accuracy: float
    accuracy: float
    standalone: Measured | None = None


@dataclass
class ApproachOutcome:
    """Everything one approach produced."""

    approach: str
    model: Model
    modules: list[Module]
    curves: list[Metric]
    composed: list[ComposedForm] = field(default_factory=list)
    full_standalone: Measured | None = None
    statistics_file: Path | None = None
    recipe_files: list[Path] = field(default_factory=list)

    @property
    def test_accuracy(self) -> float:
        return self.model.metric("accuracy", "test") or 0.0


@dataclass
class Stopwatch:
    """Seconds of each step, in order; `tell` hears of each as it ends."""

    tell: Callable[[str, float], None]
    steps: list[tuple[str, float]] = field(default_factory=list)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        start = time.monotonic()
        try:
            yield
        finally:
            seconds = time.monotonic() - start
            self.steps.append((name, seconds))
            self.tell(name, seconds)

    @property
    def total(self) -> float:
        return sum(seconds for _, seconds in self.steps)


@dataclass(frozen=True)
class Promise:
    """Something the demo must show, and whether it did."""

    text: str
    kept: bool


def promises(outcomes: list[ApproachOutcome]) -> list[Promise]:
    """What must hold for the run to count as a success."""
    found = []
    for outcome in outcomes:
        if outcome.approach == "nemo":
            text = f"nemo: full model {outcome.test_accuracy:.2%} on test, at least {FULL_ACCURACY_FLOOR:.0%}"
            found.append(Promise(text, outcome.test_accuracy >= FULL_ACCURACY_FLOOR))
        for composed in outcome.composed:
            found += _promises_of(outcome.approach, composed)
    return found


def _promises_of(approach: str, composed: ComposedForm) -> list[Promise]:
    found = []
    name = f"{approach}: {composed.form} {{{','.join(composed.composition.classes)}}}"
    if composed.form == "gated":
        loss = composed.full_accuracy - composed.accuracy
        text = f"{name} loses {100 * loss:.2f} points, at most {100 * GATED_LOSS_CEILING:.1f}"
        found.append(Promise(text, loss <= GATED_LOSS_CEILING + 1e-9))
    if composed.standalone is not None:
        outside = composed.standalone.accuracy
        text = f"{name} with torch alone: {outside:.4%}, on record: {composed.accuracy:.4%}"
        found.append(Promise(text, abs(outside - composed.accuracy) < 1e-6))
    return found


def as_json(outcomes: list[ApproachOutcome], watch: Stopwatch) -> dict[str, Any]:
    """The whole outcome for programs."""
    return {
        "approaches": [_outcome_json(outcome) for outcome in outcomes],
        "promises": [asdict(promise) for promise in promises(outcomes)],
        "seconds": [{"step": name, "seconds": round(seconds, 2)} for name, seconds in watch.steps],
        "total_seconds": round(watch.total, 2),
    }


def _outcome_json(outcome: ApproachOutcome) -> dict[str, Any]:
    return {
        "approach": outcome.approach,
        "model": outcome.model.model_dump(mode="json"),
        "modules": [module.model_dump(mode="json") for module in outcome.modules],
        "full_model_standalone": asdict(outcome.full_standalone) if outcome.full_standalone else None,
        "compositions": [
            {
                "form": composed.form,
                "classes": composed.composition.classes,
                "seconds": round(composed.seconds, 2),
                "full_model_accuracy": composed.full_accuracy,
                "accuracy": composed.accuracy,
                "standalone": asdict(composed.standalone) if composed.standalone else None,
                "composition": composed.composition.model_dump(mode="json"),
            }
            for composed in outcome.composed
        ],
    }
