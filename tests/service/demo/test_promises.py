"""The demo says so when what it promises does not hold."""

import pytest

from service.client.schemas import Composition, Metric, Model
from service.demo.outcome import ApproachOutcome, ComposedForm, promises
from service.demo.standalone import Measured


def alone(accuracy: float) -> Measured:
    return Measured(accuracy, images=100, latency_ms=1.0, batch_us_per_image=1.0)


def outcome(
    *, full: float = 0.98, gated: float = 0.975, static: float = 0.1, outside: float = 0.975
) -> ApproachOutcome:
    model = Model(
        id="mdl_0", architecture="small_cnn", approach="nemo", parameters=1,
        metrics=[Metric(name="accuracy", value=full, split="test")],
    )  # fmt: skip
    composition = Composition(id="cmp_0", form="gated", classes=["3", "5"])
    return ApproachOutcome(
        "nemo", model, [], [],
        composed=[
            ComposedForm("static", None, composition, 1.0, full, static, standalone=alone(static)),
            ComposedForm("gated", 0.005, composition, 1.0, full, gated, standalone=alone(outside)),
        ],
    )  # fmt: skip


def broken(found: ApproachOutcome) -> list[str]:
    return [promise.text for promise in promises([found]) if not promise.kept]


def test_a_good_run_keeps_all_and_static_promises_nothing() -> None:
    assert broken(outcome()) == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"full": 0.9699, "gated": 0.9699, "outside": 0.9699}, "at least 97%"),
        ({"gated": 0.9749, "outside": 0.9749}, "at most 0.5"),
        ({"outside": 0.974}, "with torch alone"),
    ],
)
def test_each_promise_can_break(changed: dict[str, float], words: str) -> None:
    [text] = broken(outcome(**changed))
    assert words in text
