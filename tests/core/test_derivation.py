"""From frequencies to masks: the threshold, the lowering for empty units, the union, and no randomness."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.derivation import derive_mask
from core.statistics import ClassStatistics


def statistics(frequencies: dict[str, list[list[float]]], count: int = 100) -> ClassStatistics:
    """Per unit the frequency of each neuron for each class, (C, n)."""
    firing = {unit: torch.tensor(rows, dtype=torch.float64) * count for unit, rows in frequencies.items()}
    classes = len(next(iter(firing.values())))
    return ClassStatistics(torch.full((classes,), float(count), dtype=torch.float64), firing, firing)


def test_neurons_at_or_above_the_threshold_are_kept() -> None:
    derivation = derive_mask(statistics({"u": [[0.9, 0.899, 1.0, 0.0]]}), [0], 0.9)
    assert derivation.mask["u"].tolist() == [True, False, True, False]
    assert derivation.notes == ()


@pytest.mark.parametrize(
    ("best", "kept", "lowered"), [(0.72, 1, "0.70"), (0.85, 1, "0.85"), (0.05, 1, "0.05")]
)
def test_an_empty_unit_lowers_its_own_threshold_in_steps(best: float, kept: int, lowered: str) -> None:
    derivation = derive_mask(statistics({"u": [[0.01, best, 0.0]], "v": [[0.95, 0.8, 0.8]]}), [0], 0.9)
    assert derivation.mask["u"].tolist() == [False, True, False]
    assert derivation.mask["v"].tolist() == [True, False, False]
    assert derivation.notes == (f"u, class 0: threshold lowered to {lowered}",)


@pytest.mark.parametrize("best", [0.04, 0.0])
def test_a_unit_empty_at_every_threshold_keeps_its_most_frequent_neuron(best: float) -> None:
    """0.9 less eighteen times 0.05 is -2e-16 in floats: the published code then keeps the whole layer."""
    row = [0.0, 0.0, best]
    derivation = derive_mask(statistics({"u": [row]}), [0], 0.9)
    assert derivation.mask["u"].sum() == 1
    assert derivation.mask["u"][row.index(max(row))]
    assert "most frequent" in derivation.notes[0]


def test_several_classes_are_united() -> None:
    three = statistics({"u": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.5, 0.5]]})
    assert derive_mask(three, [0, 1], 0.9).mask["u"].tolist() == [True, True, False]
    both = derive_mask(three, [0, 2], 0.9)
    assert both.mask["u"].tolist() == [True, True, True]
    assert both.notes == ("u, class 2: threshold lowered to 0.50",)


frequency = st.integers(0, 20).map(lambda hits: hits / 20)
rows = st.lists(st.lists(frequency, min_size=4, max_size=4), min_size=3, max_size=3)


@given(rows=rows, low=st.floats(0.05, 1), high=st.floats(0.05, 1))
def test_it_is_monotone_in_the_threshold_and_never_empty(
    rows: list[list[float]], low: float, high: float
) -> None:
    low, high = min(low, high), max(low, high)
    for index in range(3):
        loose, tight = (derive_mask(statistics({"u": rows}, 20), [index], t) for t in (low, high))
        assert loose.mask["u"].any()
        if not tight.notes:
            assert (loose.mask | tight.mask) == loose.mask


@given(rows=rows, threshold=st.floats(0.05, 1))
def test_a_union_keeps_what_each_class_keeps(rows: list[list[float]], threshold: float) -> None:
    data = statistics({"u": rows}, 20)
    union = derive_mask(data, [0, 1, 2], threshold).mask
    for index in range(3):
        assert (union | derive_mask(data, [index], threshold).mask) == union
