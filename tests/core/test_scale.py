"""The benchmark of many classes and samples measures what it says: its figures are known in advance."""

import pytest

from benchmarks.scale import FIRING, THRESHOLD, measure


def test_figures_of_random_masks_are_those_of_probability() -> None:
    row = measure("lenet5", 3000, classes=20)
    fires = THRESHOLD + 0.05  # a sample fires all of its class's neurons, or none
    assert row["cohesion"] == pytest.approx(fires**2 + (1 - fires) ** 2, abs=0.03)
    assert row["coupling"] == pytest.approx(FIRING**2 / (2 * FIRING - FIRING**2), abs=0.1)
    assert (row["classes"], row["samples"], row["neurons"]) == (20, 3000, 220)
