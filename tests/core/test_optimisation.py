"""The rate of a step."""

import pytest

from core.optimisation import learning_rate
from core.specs import StandardSpec
from tests.core.training_runs import spec_of


def test_without_a_warmup_the_cosine_falls_from_epoch_to_epoch() -> None:
    spec = spec_of(StandardSpec(), epochs=4, learning_rate=0.2)
    rates = [learning_rate(spec, epoch, done) for epoch, done in ((0, 0.01), (0, 0.24), (2, 0.5), (2, 0.7))]
    assert rates == pytest.approx([0.2, 0.2, 0.1, 0.1])


def test_with_a_warmup_it_rises_and_falls_from_step_to_step() -> None:
    spec = spec_of(StandardSpec(), epochs=4, learning_rate=0.2, warmup_ratio=0.2)
    rates = [learning_rate(spec, 0, done) for done in (0.0, 0.1, 0.2, 0.6, 1.0)]
    assert rates == pytest.approx([0, 0.1, 0.2, 0.1, 0])
