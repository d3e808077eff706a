"""Batches of normalised images, drawn and augmented where the images already are: no loader processes."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from core.catalog import DatasetInfo
from core.datasets.images import ImageSplit
from core.errors import Interrupted
from core.seeding import generator

StopRequest = Callable[[], bool]
_WHITE = 255.0


@dataclass(frozen=True)
class BatchPlan:
    """The order and the augmentation of one pass; batch k depends on the seeds and on k only.

    Attributes:
        batch_size: images of each batch but the last.
        shuffle_seed: None = the split's fixed order.
        augment_seed: None = images as they are.
        start: index of the first batch to draw: a resumed pass skips the others without drawing them.
        drop_single: leave out a last batch of one image, which batch normalisation cannot train on.
    """

    batch_size: int
    shuffle_seed: int | None = None
    augment_seed: int | None = None
    start: int = 0
    drop_single: bool = False

    def batch_count(self, size: int) -> int:
        """Batches of a whole pass over `size` images."""
        full, rest = divmod(size, self.batch_size)
        return full + (rest > (1 if self.drop_single else 0))


def batches(
    split: ImageSplit,
    info: DatasetInfo,
    batch_size: int,
    *,
    device: torch.device,
    shuffle_seed: int | None = None,
    augment_seed: int | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """One pass over a split: images (B, C, H, W) float32 normalised and labels (B,) int64, on `device`."""
    return draw(split.near(device), info, BatchPlan(batch_size, shuffle_seed, augment_seed), device)


def draw(
    split: ImageSplit, info: DatasetInfo, plan: BatchPlan, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of `plan` on `device`; images are augmented and normalised there."""
    order = _order(len(split), plan.shuffle_seed).to(split.labels.device)
    for number in range(plan.start, plan.batch_count(len(split))):
        chosen = split.select(order[number * plan.batch_size : (number + 1) * plan.batch_size])
        images = chosen.images.to(device, non_blocking=True)
        if plan.augment_seed is not None:
            images = augment(images, info, generator(plan.augment_seed, "augment", number))
        yield normalise(images, info), chosen.labels.to(device, non_blocking=True)


def stoppable(
    drawn: Iterable[tuple[Tensor, Tensor]], should_stop: StopRequest
) -> Iterator[tuple[Tensor, Tensor]]:
    """The same batches. Raises Interrupted when, before one of them, `should_stop` says so."""
    for batch in drawn:
        if should_stop():
            raise Interrupted
        yield batch


def _order(size: int, seed: int | None) -> Tensor:
    return torch.arange(size) if seed is None else torch.randperm(size, generator=generator(seed, "shuffle"))


def normalise(images: Tensor, info: DatasetInfo) -> Tensor:
    """uint8 (N, C, H, W) -> float32 of the dataset's per-channel mean and deviation."""
    mean, std = _scaling(tuple(info.mean), tuple(info.std), images.device)
    return (images.float() / _WHITE - mean) / std


@lru_cache(maxsize=32)  # a copy to a GPU waits until that has done all it was given
def _scaling(mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    shape = (1, -1, 1, 1)
    return torch.tensor(mean, device=device).view(shape), torch.tensor(std, device=device).view(shape)


def augment(images: Tensor, info: DatasetInfo, random: torch.Generator) -> Tensor:
    """The dataset's random crop (zero padding in raw pixels) and horizontal flip, drawn per image.

    Args:
        images: (N, C, H, W) uint8.
        info: says the padding and whether to flip.
        random: a CPU generator, so that every device sees the same draws.
    """
    if info.crop_padding:
        images = _random_crop(images, info.crop_padding, random)
    if info.flip:
        flipped = torch.rand(len(images), generator=random) < 0.5
        flipped = flipped.to(images.device, non_blocking=True).view(-1, 1, 1, 1)
        images = torch.where(flipped, images.flip(3), images)
    return images


def _random_crop(images: Tensor, padding: int, random: torch.Generator) -> Tensor:
    count, _, height, width = images.shape
    offsets = torch.randint(0, 2 * padding + 1, (2, count, 1), generator=random)
    offsets = offsets.to(images.device, non_blocking=True)
    rows = offsets[0] + torch.arange(height, device=images.device)  # (N, H)
    columns = offsets[1] + torch.arange(width, device=images.device)  # (N, W)
    samples = torch.arange(count, device=images.device)
    padded = F.pad(images, (padding,) * 4)
    # Index tensors (N, 1, 1), (N, H, 1), (N, 1, W) around the channel slice put the channels last.
    return padded[samples[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
