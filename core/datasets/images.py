"""Images in memory: uint8 tensors, three fixed splits, and a digest that names exactly this data."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.catalog import DatasetInfo
from core.specs import Split

# Of a GPU's free memory; the rest is for activations.
_RESIDENT = 0.25


@dataclass(frozen=True, eq=False)
class ImageSplit:
    """Images (N, C, H, W) uint8 and labels (N,) int64 in a fixed order."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> "ImageSplit":
        """The same split in the memory of `device`."""
        return ImageSplit(self.images.to(device), self.labels.to(device))

    def near(self, device: torch.device) -> "ImageSplit":
        """In the device's memory, unless it would fill more than a quarter of what is free there.

        Then it stays where it is (perhaps a memory-mapped file) and batches are moved as they are drawn.
        """
        if device.type == "cuda" and self.images.nbytes > _RESIDENT * torch.cuda.mem_get_info(device)[0]:
            return self
        return self.to(device)

    def every(self, count: int, offset: int) -> "ImageSplit":
        """Each `count`-th image, beginning with number `offset`."""
        return ImageSplit(self.images[offset::count], self.labels[offset::count])

    def first(self, n: int) -> "ImageSplit":
        """The first `n` images of the fixed order (all, when there are fewer)."""
        return ImageSplit(self.images[:n], self.labels[:n])

    def restricted(self, class_indices: Sequence[int]) -> "ImageSplit":
        """Only the images of these classes; labels stay the indices of the whole dataset."""
        wanted = torch.tensor(list(class_indices), dtype=torch.int64, device=self.labels.device)
        return self.select(torch.isin(self.labels, wanted))

    def select(self, index: Tensor) -> "ImageSplit":
        """The images at `index` (positions or a bool mask)."""
        return ImageSplit(self.images[index], self.labels[index])


@dataclass(frozen=True, eq=False)
class ImageData:
    """A dataset with its split protocol. `digest` is the sha256 over images, labels and splits."""

    info: DatasetInfo
    train: ImageSplit
    validation: ImageSplit
    test: ImageSplit
    digest: str

    def split(self, name: Split) -> ImageSplit:
        """The held-out data of this name."""
        return self.validation if name == "validation" else self.test

    @classmethod
    def of(
        cls, info: DatasetInfo, train: ImageSplit, validation: ImageSplit, test: ImageSplit
    ) -> "ImageData":
        """Assemble the splits and compute their digest."""
        return cls(info, train, validation, test, _digest(train, validation, test))


def _digest(*splits: ImageSplit) -> str:
    digest = hashlib.sha256()
    for split in splits:
        for tensor in (split.images, split.labels):
            digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
            digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()
