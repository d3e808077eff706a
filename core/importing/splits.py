"""Which images are held out: by class, by seed, the same on every machine."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.errors import DatasetInvalidError
from core.importing.sources import SPLIT_NAMES

TRAIN, VALIDATION, TEST = range(3)
UNKNOWN = -1


def complete(
    splits: NDArray[np.int8], labels: NDArray[np.int64], fractions: dict[int, float], seed: int
) -> NDArray[np.int8]:
    """Every image in a split: those the file gives stay, those it lacks are held out of the rest by class.

    Args:
        splits: (N,) TRAIN, VALIDATION, TEST or UNKNOWN.
        labels: (N,).
        fractions: VALIDATION and TEST -> share of each class to hold out.
        seed: of the draws.
    """
    done = np.where(splits == UNKNOWN, TRAIN, splits).astype(np.int8)
    shared = np.bincount(labels[done == TRAIN], minlength=int(labels.max()) + 1)
    for split, fraction in fractions.items():
        if (splits == split).any():
            continue
        # RandomState, not Generator: numpy promises never to change the stream of the former.
        random = np.random.RandomState([seed, split])
        for label, count in enumerate(shared.tolist()):
            own = np.flatnonzero((labels == label) & (done == TRAIN))
            held = min(max(1, round(fraction * count)), max(len(own) - 1, 0))
            done[random.permutation(own)[:held]] = split
    return done


def order(splits: NDArray[np.int8], seed: int) -> NDArray[np.int64]:
    """Train, then validation, then test, each shuffled: folders come class after class."""
    parts = [np.flatnonzero(splits == split) for split in (TRAIN, VALIDATION, TEST)]
    return np.concatenate(
        [np.random.RandomState([seed, 3 + number]).permutation(part) for number, part in enumerate(parts)]
    )


def per_class(
    splits: NDArray[np.int8], labels: NDArray[np.int64], class_names: Sequence[str]
) -> dict[str, dict[str, int]]:
    """Class -> split -> images. Raises DatasetInvalidError where one of them is 0."""
    counts: dict[str, dict[str, int]] = {
        name: {s: int(((labels == label) & (splits == n)).sum()) for n, s in enumerate(SPLIT_NAMES)}
        for label, name in enumerate(class_names)
    }
    poor = [name for name, count in counts.items() if min(count.values()) == 0]
    if poor:
        told = ", ".join(f"{name!r} has {tuple(counts[name].values())}" for name in poor[:5])
        raise DatasetInvalidError(
            f"Each class needs images for train, validation and test; {told}. Add images, or leave it out."
        )
    return counts
