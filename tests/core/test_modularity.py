"""Cohesion and coupling against loops over pairs."""

from itertools import combinations

import pytest
import torch

from core.masks import ModuleMask
from core.modularity import cohesion, coupling, mean_pairwise_jaccard


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
    assert by_class == {1: pytest.approx(2 / 3)}


def test_cohesion_looks_at_a_bounded_number_of_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.modularity._SAMPLES_PER_CLASS", 3)
    mask = ModuleMask({"a": torch.tensor([True, True])})
    alike, other = torch.tensor([[1.0, 1.0]] * 2), torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    labels = torch.tensor([0, 0])
    # The third batch comes too late: of four samples the first three are alike.
    assert cohesion([({"a": alike}, labels), ({"a": other}, labels)], {0: mask}) == {0: 1.0}
