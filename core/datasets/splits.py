"""The fixed stratified split: the same images are held out on every machine, for ever."""

import numpy as np
import torch
from torch import Tensor

_SEED = 20240


def stratified_holdout(labels: Tensor, size: int, *, purpose: int) -> Tensor:
    """Which images to hold out: bool (N,), `size` of them true, each class in proportion.

    Args:
        labels: (N,) int64.
        size: images to hold out.
        purpose: distinguishes several holdouts of one dataset.
    """
    held = torch.zeros(len(labels), dtype=torch.bool)
    # RandomState, not Generator: numpy promises never to change the stream of the former.
    random = np.random.RandomState([_SEED, purpose])
    for index, quota in enumerate(_quotas(labels.bincount(), size)):
        own = (labels == index).nonzero().flatten()
        held[own[torch.from_numpy(random.permutation(len(own))[:quota])]] = True
    return held


def _quotas(counts: Tensor, size: int) -> list[int]:
    """Images of each class: the proportional share, rounded so that the sum is `size` (largest remainder)."""
    shares = [count * size for count in counts.tolist()]
    total = int(counts.sum())
    quotas = [share // total for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda index: (-(shares[index] % total), index))
    for index in by_remainder[: size - sum(quotas)]:
        quotas[index] += 1
    return quotas
