"""How far a network comes apart: cohesion within a class, coupling between classes (MwT, ICSE 2024)."""

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from core.masks import ModuleMask

_CHUNK = 256
# Two million pairs of samples: more would change the mean's third digit at most.
_SAMPLES_PER_CLASS = 2000
# Of all classes together, whatever the data's size (ADR 17).
_KEPT_BITS = 16 * 2**20 * 8


@dataclass(frozen=True)
class Estimate:
    """A mean over pairs of samples, and its standard error: 0 where no sample was left out."""

    value: float
    error: float

    @classmethod
    def mean(cls, estimates: Sequence["Estimate"]) -> "Estimate":
        """Of independent estimates."""
        total, count = math.fsum(e.value for e in estimates), len(estimates)
        return cls(total / count, math.hypot(*(e.error for e in estimates)) / count)


def coupling(masks: Sequence[ModuleMask]) -> float:
    """Mean Jaccard similarity of all pairs of module masks; 0 for fewer than two."""
    if len(masks) < 2:
        return 0.0
    return mean_pairwise_jaccard(torch.stack([_bits(mask) for mask in masks]))


def _bits(mask: ModuleMask) -> Tensor:
    """All units' bits side by side: bool (K,)."""
    return torch.cat(list(mask.values()))


def mean_pairwise_jaccard(bits: Tensor) -> float:
    """Mean Jaccard similarity over all pairs of rows.

    Args:
        bits: (N, K) bool. Two empty rows count as identical.
    """
    return 1.0 if len(bits) < 2 else _similarities(bits).mean().item()


def _similarities(bits: Tensor) -> Tensor:
    """Each row's mean Jaccard similarity to the others: (N, K) bool, N >= 2 -> float64 (N,)."""
    count, rows = len(bits), bits.float()
    sizes, totals = rows.sum(dim=1), []
    for start in range(0, count, _CHUNK):
        part = slice(start, start + _CHUNK)
        shared = rows[part] @ rows.T
        union = sizes[part, None] + sizes[None, :] - shared
        alike = torch.where(union > 0, shared / union.clamp_min(1), torch.ones_like(shared))
        totals.append(alike.double().sum(dim=1))
    return (torch.cat(totals) - 1) / (count - 1)  # 1: each row with itself


def cohesion(
    responses: Iterable[tuple[Mapping[str, Tensor], Tensor]], masks: Mapping[int, ModuleMask]
) -> dict[int, Estimate]:
    """For each class, how alike its samples' own masks are within the class's module.

    Args:
        responses: batches of ({unit: (N, n) sample masks}, labels (N,)).
        masks: class index -> module mask.

    Returns:
        Class index -> mean Jaccard over all pairs of the class's samples, or of as many of them as fit into a
        fixed memory, drawn by chance (the same ones each time).
    """
    owned = {index: _bits(mask) for index, mask in masks.items()}
    kept = {index: _Reservoir(own, _KEPT_BITS // len(owned), index) for index, own in owned.items()}
    for responded, labels in responses:
        fired = torch.cat([responded[unit] > 0 for unit in next(iter(masks.values()))], dim=1).cpu()
        for index, reservoir in kept.items():
            reservoir.add(fired[labels.cpu() == index])
    return {index: reservoir.estimate() for index, reservoir in kept.items()}


class _Reservoir:
    """A uniform sample of rows of unknown number (Vitter's algorithm R), as packed bits.

    Only a module's own neurons are kept: the others are cut to zero for every sample.
    """

    def __init__(self, own: Tensor, bits: int, seed: int) -> None:
        self._own, self._width = own, int(own.sum())
        self._random = random.Random(seed)
        self._seen = 0
        size = max(2, min(_SAMPLES_PER_CLASS, bits // max(1, self._width)))
        self._rows = np.zeros((size, math.ceil(self._width / 8)), dtype=np.uint8)

    def add(self, rows: Tensor) -> None:
        """Rows (N, K) bool, which may take the places of others."""
        packed = np.packbits(rows[:, self._own].numpy(), axis=1)
        for row in packed:
            place = self._seen if self._seen < len(self._rows) else self._random.randrange(self._seen + 1)
            if place < len(self._rows):
                self._rows[place] = row
            self._seen += 1

    def estimate(self) -> Estimate:
        """The mean over pairs, a U-statistic: its error is twice that of the mean of the rows' own means."""
        count = min(self._seen, len(self._rows))
        if count < 2:
            return Estimate(1.0, 0.0)
        bits = np.unpackbits(self._rows[:count], axis=1, count=self._width)
        means = _similarities(torch.from_numpy(bits))
        left_out = 1 - count / self._seen
        return Estimate(means.mean().item(), 2 * means.std().item() * math.sqrt(left_out / count))
