"""The rate of a step."""

import pytest
import torch

from core.datasets import load_dataset
from core.optimisation import learning_rate
from core.specs import CleaveSpec, StandardSpec
from core.trainer import Trainer
from tests.core.training_runs import spec_of


def test_without_a_warmup_the_cosine_falls_from_epoch_to_epoch() -> None:
    spec = spec_of(StandardSpec(), epochs=4, learning_rate=0.2)
    rates = [learning_rate(spec, epoch, done) for epoch, done in ((0, 0.01), (0, 0.24), (2, 0.5), (2, 0.7))]
    assert rates == pytest.approx([0.2, 0.2, 0.1, 0.1])


def test_with_a_warmup_it_rises_and_falls_from_step_to_step() -> None:
    spec = spec_of(StandardSpec(), epochs=4, learning_rate=0.2, warmup_ratio=0.2)
    rates = [learning_rate(spec, 0, done) for done in (0.0, 0.1, 0.2, 0.6, 1.0)]
    assert rates == pytest.approx([0, 0.1, 0.2, 0.1, 0])


def test_a_training_of_the_default_recipe_steps_at_these_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two epochs of three steps: 0.2 after a warm-up over 0.15 of the steps, which is their first."""
    rates: list[float] = []
    plain = torch.optim.SGD.step

    def step(self: torch.optim.SGD) -> None:
        rates.append(self.param_groups[0]["lr"])
        plain(self)

    monkeypatch.setattr(torch.optim.SGD, "step", step)
    trainer = Trainer(spec_of(CleaveSpec(), epochs=2), load_dataset("digits", None), torch.device("cpu"))
    with trainer.running():
        while not trainer.finished:
            for images, labels in trainer.remaining_batches():
                trainer.train_on(images, labels)
            trainer.finish_epoch()
    assert rates == pytest.approx([0.1111, 0.1932, 0.1552, 0.0969, 0.0397, 0.0047], abs=1e-4)
