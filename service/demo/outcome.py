"""What the demo found, as plain data: the tables, the promises and `demo.json` are made from it."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from service.client.schemas import Composition, Metric, Model, Module
from service.demo.plan import FULL_ACCURACY_FLOOR
from service.demo.standalone import Measured


@dataclass
class ComposedForm:
    """One composition in one form, and the full model on the same classes. Accuracies on test data."""

    form: str
    ceiling: float | None  # see `plan.Form`
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
    programs: list[tuple[Path, ComposedForm | None]] = field(default_factory=list)  # None: the full model

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
        if outcome.approach != "mwt":
            accuracy = f"full model {outcome.test_accuracy:.2%} on test, at least {FULL_ACCURACY_FLOOR:.0%}"
            text = f"{outcome.approach}: {accuracy}"
            found.append(Promise(text, outcome.test_accuracy >= FULL_ACCURACY_FLOOR))
        found += [
            _cut_costs_little(outcome.approach, composed, composed.ceiling)
            for composed in outcome.composed
            if composed.ceiling is not None
        ]
        found.append(_stands_alone(outcome))
    return found


def class_set(classes: Sequence[str]) -> str:
    """Classes in a title: all of a few, the ends of many."""
    if len(classes) <= 5:
        return f"{{{', '.join(classes)}}}"
    return f"{{{classes[0]}, {classes[1]}, ... {classes[-1]}}}"


def _cut_costs_little(approach: str, composed: ComposedForm, ceiling: float) -> Promise:
    loss = composed.full_accuracy - composed.accuracy
    name = f"{approach}: {composed.form}, {class_set(composed.composition.classes)}"
    text = f"{name} loses {100 * loss:.2f} points, at most {100 * ceiling:.1f}"
    return Promise(text, loss <= ceiling + 1e-9)


def _stands_alone(outcome: ApproachOutcome) -> Promise:
    """What a download computes in a process without us is what the registry says of it."""
    measured = [(made.accuracy, made.standalone) for made in outcome.composed if made.standalone is not None]
    equal = sum(abs(record - outside.accuracy) < 1e-6 for record, outside in measured)
    text = f"{outcome.approach}: {equal} of {len(measured)} downloaded programs, run with torch alone"
    return Promise(f"{text}, have the accuracy on record", equal == len(measured) == len(outcome.composed))


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
