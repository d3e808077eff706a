"""How far a network comes apart: cohesion within a class, coupling between classes (MwT, ICSE 2024)."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from core.masks import ModuleMask

_CHUNK = 2048
# Two million pairs of samples: more would change the mean's third digit, and memory would grow with the data.
_SAMPLES_PER_CLASS = 2000


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
    count = len(bits)
    if count < 2:
        return 1.0
    rows = bits.float()
    sizes = rows.sum(dim=1)
    total = 0.0
    for start in range(0, count, _CHUNK):
        part = slice(start, start + _CHUNK)
        shared = rows[part] @ rows.T
        union = sizes[part, None] + sizes[None, :] - shared
        total += (
            torch.where(union > 0, shared / union.clamp_min(1), torch.ones_like(shared)).double().sum().item()
        )
    return (total - count) / (count * (count - 1))  # the diagonal is each row with itself


def cohesion(
    responses: Iterable[tuple[Mapping[str, Tensor], Tensor]], masks: Mapping[int, ModuleMask]
) -> dict[int, float]:
    """For each class, how alike its samples' own masks are within the class's module.

    Args:
        responses: batches of ({unit: (N, n) sample masks}, labels (N,)).
        masks: class index -> module mask.

    Returns:
        Class index -> mean Jaccard over all pairs of the class's samples (of the first 2,000, where there are
        more).
    """
    bits: dict[int, list[Tensor]] = {index: [] for index in masks}
    room = dict.fromkeys(masks, _SAMPLES_PER_CLASS)
    owned = {index: _bits(mask) for index, mask in masks.items()}
    for responded, labels in responses:
        fired = torch.cat([responded[unit] > 0 for unit in next(iter(masks.values()))], dim=1).cpu()
        for index, own in owned.items():
            # Only the module's neurons can differ: the others are cut to zero for every sample.
            rows = fired[labels.cpu() == index][: room[index], own]
            room[index] -= len(rows)
            bits[index].append(rows)
    return {index: mean_pairwise_jaccard(torch.cat(rows)) for index, rows in bits.items()}
