"""Cohesion and coupling against loops over pairs."""

from itertools import combinations

import pytest
import torch

from core.masks import ModuleMask
from core.modularity import Estimate, cohesion, coupling, mean_pairwise_jaccard


def _naive(bits: torch.Tensor) -> float:
    values = []
    for a, b in combinations(bits, 2):
        union = (a | b).sum().item()
        values.append((a & b).sum().item() / union if union else 1.0)
    return sum(values) / len(values)


def test_pairwise_jaccard_equals_the_loop() -> None:
    generator = torch.Generator().manual_seed(3)
    bits = torch.rand(37, 20, generator=generator) < 0.3
    bits[4] = bits[5] = False
    assert mean_pairwise_jaccard(bits) == pytest.approx(_naive(bits), abs=1e-6)


def test_coupling_is_the_mean_over_pairs_of_modules() -> None:
    masks = [
        ModuleMask({"a": torch.tensor(bits)})
        for bits in ([True, True, False], [False, True, True], [False, False, True])
    ]
    assert coupling(masks) == pytest.approx((1 / 3 + 0 + 1 / 2) / 3)
    assert coupling(masks[:1]) == 0.0


def test_cohesion_looks_only_inside_the_module() -> None:
    mask = ModuleMask({"a": torch.tensor([True, True, False]), "b": torch.tensor([True])})
    soft = {
        "a": torch.tensor([[0.5, 0.0, 0.9], [0.2, 0.1, 0.0], [0.0, 0.0, 1.0]]),
        "b": torch.tensor([[1.0], [1.0], [0.0]]),
    }
    labels = torch.tensor([1, 1, 0])
    by_class = cohesion([(soft, labels)], {1: mask})
    assert by_class[1].value == pytest.approx(2 / 3)
    assert by_class[1].error == 0


class TestManySamples:
    """More samples than are kept: an estimate whose error is told, from memory that does not grow."""

    @pytest.fixture(autouse=True)
    def _few_are_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("core.modularity._SAMPLES_PER_CLASS", 200)

    def fired(self, count: int) -> torch.Tensor:
        """Samples that differ the more, the later they come: the first ones are no fair sample."""
        random = torch.Generator().manual_seed(0)
        rates = torch.linspace(0.95, 0.3, count).unsqueeze(1)
        return (torch.rand(count, 40, generator=random) < rates).float()

    def estimate(self, fired: torch.Tensor, batch: int) -> Estimate:
        mask = ModuleMask({"a": torch.ones(fired.shape[1], dtype=torch.bool)})
        parts = [
            ({"a": part}, torch.zeros(len(part), dtype=torch.int64)) for part in torch.split(fired, batch)
        ]
        return cohesion(parts, {0: mask})[0]

    def test_the_estimate_lies_within_its_error(self) -> None:
        fired = self.fired(3000)
        found, truth = self.estimate(fired, 128), mean_pairwise_jaccard(fired > 0)
        assert 0.001 < found.error < 0.02
        assert abs(found.value - truth) < 3 * found.error
        assert abs(mean_pairwise_jaccard(fired[:200] > 0) - truth) > 10 * found.error

    def test_it_does_not_depend_on_the_batches(self) -> None:
        fired = self.fired(1000)
        assert self.estimate(fired, 7) == self.estimate(fired, 256)

    def test_few_samples_are_all_looked_at(self) -> None:
        fired = self.fired(200)
        found = self.estimate(fired, 64)
        assert found.value == pytest.approx(mean_pairwise_jaccard(fired > 0))
        assert found.error == 0

    def test_what_is_kept_is_bounded_for_all_classes_together(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("core.modularity._KEPT_BITS", 5 * 40 * 20)
        mask = ModuleMask({"a": torch.ones(40, dtype=torch.bool)})
        fired, labels = self.fired(500), torch.arange(500) % 5
        kept = cohesion([({"a": fired}, labels)], dict.fromkeys(range(5), mask))
        assert all(estimate.error > 0 for estimate in kept.values())  # 20 of 100 samples of each class
        truth = sum(mean_pairwise_jaccard(fired[labels == c] > 0) for c in range(5)) / 5
        found = Estimate.mean(list(kept.values()))
        assert abs(found.value - truth) < 3 * found.error


def test_the_error_of_a_mean_of_estimates() -> None:
    mean = Estimate.mean([Estimate(0.2, 0.3), Estimate(0.6, 0.4)])
    assert (mean.value, mean.error) == pytest.approx((0.4, 0.25))
