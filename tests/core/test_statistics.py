"""Class statistics: exact sums over batches, means over classes, and a form for tensor files."""

import pickle
import time
from itertools import combinations
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from core.derivation import derive_mask
from core.errors import ArtifactError
from core.modularity import coupling
from core.statistics import ClassStatistics, StatisticsAccumulator, evaluating


def example() -> ClassStatistics:
    """Unit `z` first, then `a`: not the order of the alphabet."""
    sums = StatisticsAccumulator(3)
    sums.add({"z": torch.tensor([[0.5, 0.0], [0.25, 0.0]]), "a": torch.ones(2, 1)}, torch.tensor([0, 2]))
    sums.add({"z": torch.tensor([[0.0, 0.75]]), "a": torch.zeros(1, 1)}, torch.tensor([0]))
    return sums.result()


def test_sums_by_class() -> None:
    statistics = example()
    assert statistics.count.tolist() == [2, 0, 1]
    assert statistics.firing["z"].tolist() == [[1, 1], [0, 0], [1, 0]]
    assert statistics.amplitude["z"].tolist() == [[0.5, 0.75], [0, 0], [0.25, 0]]
    assert statistics.firing["a"].tolist() == [[1], [0], [1]]
    assert {tensor.dtype for tensor in statistics.to_tensors().values()} == {torch.float64}


def test_many_batches_equal_one() -> None:
    torch.manual_seed(0)
    masks, labels = torch.randn(100, 7).relu(), torch.randint(0, 4, (100,))
    whole, parts = StatisticsAccumulator(4), StatisticsAccumulator(4)
    whole.add({"u": masks}, labels)
    for part, own in zip(torch.split(masks, 13), torch.split(labels, 13), strict=True):
        parts.add({"u": part}, own)
    assert torch.equal(whole.result().firing["u"], parts.result().firing["u"])
    torch.testing.assert_close(whole.result().amplitude["u"], parts.result().amplitude["u"])
    expected = torch.stack([(masks[labels == c] > 0).sum(dim=0) for c in range(4)]).double()
    assert torch.equal(whole.result().firing["u"], expected)


def test_frequencies_are_shares_of_the_class_and_zero_without_samples() -> None:
    assert example().frequencies(0)["z"].tolist() == [0.5, 0.5]
    assert example().frequencies(1)["z"].tolist() == [0, 0]


def test_mean_amplitudes_weigh_classes_by_their_firing_samples() -> None:
    means = example().mean_amplitudes([0, 2])
    assert means["z"].tolist() == pytest.approx([(0.5 + 0.25) / 2, 0.75])
    assert means["z"].dtype == torch.float32
    assert example().mean_amplitudes([2])["z"].tolist() == [0.25, 1.0]  # 1: never fires for class 2


def test_a_tensor_file_keeps_values_and_unit_order(tmp_path: Path) -> None:
    statistics = example()
    save_file(statistics.to_tensors(), tmp_path / "statistics.safetensors")
    restored = ClassStatistics.from_tensors(load_file(tmp_path / "statistics.safetensors"))
    assert list(restored.firing) == list(restored.amplitude) == ["z", "a"]
    assert torch.equal(restored.count, statistics.count)
    for unit in ("z", "a"):
        assert torch.equal(restored.firing[unit], statistics.firing[unit])
        assert torch.equal(restored.amplitude[unit], statistics.amplitude[unit])


@pytest.mark.parametrize("tensors", [{}, {"count": torch.ones(2), "firing/0000/u": torch.ones(2, 1)}])
def test_other_tensors_are_refused(tensors: dict[str, Tensor]) -> None:
    with pytest.raises(ArtifactError):
        ClassStatistics.from_tensors(tensors)


def test_evaluating_restores_the_mode_even_after_a_failure() -> None:
    network = nn.Sequential(nn.Dropout()).train()
    seen: list[bool] = []

    def fail() -> None:
        with evaluating(network):
            seen.extend([network[0].training, torch.is_grad_enabled()])
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert seen == [False, False]
    assert network[0].training
    assert torch.is_grad_enabled()


def test_memory_does_not_grow_with_the_samples() -> None:
    torch.manual_seed(0)
    few, many = StatisticsAccumulator(5), StatisticsAccumulator(5)
    for sums, passes in ((few, 1), (many, 50)):
        for _ in range(passes):
            sums.add({"u": torch.rand(40, 6), "v": torch.rand(40, 3)}, torch.randint(0, 5, (40,)))
    sizes = [sum(t.numel() for t in s.result().to_tensors().values()) for s in (few, many)]
    assert sizes == [5 + 2 * 5 * 9] * 2
    assert many.result().count.sum() == 2000
    assert len(pickle.dumps(many)) == len(pickle.dumps(few))


def test_a_hundred_classes_of_a_wide_network_take_seconds() -> None:
    """ResNet18's masks of 5,000 samples of 100 classes: counted, stored and every module derived."""
    torch.manual_seed(0)
    widths = [64] * 4 + [128] * 5 + [256] * 5 + [512] * 5
    masks = {f"u{i}": (torch.rand(500, width) - 0.3).relu() for i, width in enumerate(widths)}
    labels = torch.arange(500) % 100
    start, sums = time.process_time(), StatisticsAccumulator(100)
    for _ in range(10):
        sums.add(masks, labels)
    statistics = sums.result()
    modules = [derive_mask(statistics, [index], 0.9).mask for index in range(100)]
    overlap = coupling(modules)
    assert time.process_time() - start < 10
    pairs = list(combinations(modules[:20], 2))
    assert 0 < overlap < 1
    assert coupling(modules[:20]) == pytest.approx(sum(a.jaccard(b) for a, b in pairs) / len(pairs), abs=1e-6)
    fired = (masks["u7"][labels == 42] > 0).sum(dim=0) * 10
    assert torch.equal(statistics.firing["u7"][42], fired.double())
