"""From class statistics to module masks: a neuron belongs to the classes that fire it often enough."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from core.masks import ModuleMask
from core.statistics import ClassStatistics

# Thresholds are compared in whole steps: subtracting 0.05 eighteen times from 0.9 does not give 0 in floats.
_STEP = 0.05
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Derivation:
    """A module mask, and what had to be done differently from the request."""

    mask: ModuleMask
    notes: tuple[str, ...]


def derive_mask(statistics: ClassStatistics, classes: Sequence[int], threshold: float) -> Derivation:
    """The neurons of a module: over its classes, those fired by at least `threshold` of the class's samples.

    A unit that would be empty for a class is tried again at thresholds lowered by 0.05 (MwT). Where the
    published codes then stop (MwT) or keep random neurons (NeMo), the single most frequent neuron is kept.

    Args:
        statistics: from one pass over the training data.
        classes: indices of the module's classes.
        threshold: in (0, 1]; the papers use 0.9.
    """
    parts = [_derive_one(statistics, index, threshold) for index in classes]
    mask = reduce(lambda a, b: a | b, (part.mask for part in parts))
    return Derivation(mask, tuple(note for part in parts for note in part.notes))


def _derive_one(statistics: ClassStatistics, class_index: int, threshold: float) -> Derivation:
    kept, notes = {}, []
    for unit, frequency in statistics.frequencies(class_index).items():
        kept[unit], note = _select(frequency, threshold)
        if note:
            notes.append(f"{unit}, class {class_index}: {note}")
    return Derivation(ModuleMask(kept), tuple(notes))


def _select(frequency: Tensor, threshold: float) -> tuple[Tensor, str | None]:
    """Bool (n,) with at least one neuron, and a note if the threshold was not the one asked for."""
    steps = int((threshold - _TOLERANCE) / _STEP)
    for lowered in (threshold - step * _STEP for step in range(steps + 1)):
        kept = frequency >= lowered - _TOLERANCE
        if kept.any():
            return kept, None if lowered == threshold else f"threshold lowered to {lowered:.2f}"
    only = torch.zeros_like(frequency, dtype=torch.bool)
    only[frequency.argmax()] = True
    return only, "no neuron fires often enough at any threshold; kept the most frequent one"
