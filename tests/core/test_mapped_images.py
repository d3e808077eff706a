"""Images in a memory-mapped file: the same batches as from memory, and a process that stays small."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from core.catalog import DATASETS
from core.datasets import BatchPlan, ImageSplit, draw
from tests.core.mapped_training import SIDE

CPU = torch.device("cpu")
CIFAR = DATASETS["cifar10"]
MIB = 1 << 20


def test_memory_does_not_grow_with_the_images(tmp_path: Path) -> None:
    """A sparse file of 120 MiB: an epoch, class statistics and predictions of half of it."""
    count = 120 * MIB // (3 * SIDE * SIDE)
    np.lib.format.open_memmap(tmp_path / "images.npy", "w+", np.uint8, (count, 3, SIDE, SIDE)).flush()
    np.save(tmp_path / "labels.npy", np.arange(count) % 10)
    command = [sys.executable, "-m", "tests.core.mapped_training", str(tmp_path)]
    # Large blocks go back to the system when they are freed: what is measured is what is held.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(MIB)}
    ran = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    took, half_a_copy = map(int, ran.stdout.split())
    assert half_a_copy > 50  # what the measure says of images that are copied
    assert took < 30


class TestRows:
    """A part by class copies nothing; what is drawn from it is what was drawn from a copy."""

    def split(self) -> ImageSplit:
        pixels = torch.arange(40, dtype=torch.uint8).view(-1, 1, 1, 1).expand(40, 3, 32, 32).contiguous()
        return ImageSplit(pixels, torch.arange(40) % 4)

    def test_it_shares_the_images(self) -> None:
        split = self.split()
        part = split.restricted([1, 3])
        assert part.stored is split.stored
        assert part.images[:, 0, 0, 0].tolist() == list(range(1, 40, 2))
        assert part.near(CPU).stored is split.stored

    def test_parts_of_parts(self) -> None:
        part = self.split().restricted([1, 3])
        assert part.restricted([3]).images[:, 0, 0, 0].tolist() == list(range(3, 40, 4))
        assert part.first(3).images[:, 0, 0, 0].tolist() == [1, 3, 5]
        assert part.every(2, 1).images[:, 0, 0, 0].tolist() == list(range(3, 40, 4))
        chosen = part.select(torch.tensor([4, 0]))
        assert (chosen.images[:, 0, 0, 0].tolist(), chosen.labels.tolist()) == ([9, 1], [1, 1])

    def test_batches_are_those_of_a_copy(self) -> None:
        part = self.split().restricted([0, 2])
        copied = ImageSplit(part.images, part.labels)
        plan = BatchPlan(8, shuffle_seed=1, augment_seed=2)
        for mine, theirs in zip(draw(part, CIFAR, plan, CPU), draw(copied, CIFAR, plan, CPU), strict=True):
            assert torch.equal(mine[0], theirs[0])
            assert torch.equal(mine[1], theirs[1])

    def test_it_moves_in_pieces(self) -> None:
        """The meta device stands for another one: nothing but shapes lives there."""
        moved = self.split().restricted([2]).to(torch.device("meta"))
        assert moved.images.shape == (10, 3, 32, 32)
        assert moved.rows is None
