"""Images as uint8 tensors, in memory or in a mapped file: three fixed splits, and their digest."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.catalog import DatasetInfo
from core.specs import Split

# Of a GPU's free memory; the rest is for activations.
_RESIDENT = 0.25
_PART = 1024


@dataclass(frozen=True, eq=False)
class ImageSplit:
    """Images (N, C, H, W) uint8 and labels (N,) int64 in a fixed order.

    Attributes:
        stored: images, in memory or in a memory-mapped file, which is never read as a whole.
        labels: (N,).
        rows: (N,) positions of the split's images in `stored`; None: all of them, in their order.
    """

    stored: Tensor
    labels: Tensor
    rows: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def images(self) -> Tensor:
        """All images; a copy in memory where only some rows are the split's."""
        return self.stored if self.rows is None else self.stored[self.rows]

    def to(self, device: torch.device) -> "ImageSplit":
        """The same split in the memory of `device`."""
        if device == self.stored.device:
            return self
        return ImageSplit(self._moved(device), self.labels.to(device))

    def _moved(self, device: torch.device) -> Tensor:
        if self.rows is None:
            return self.stored.to(device)
        moved = self.stored.new_empty((len(self), *self.stored.shape[1:]), device=device)
        for start in range(0, len(self), _PART):  # a copy of some rows at a time
            moved[start : start + _PART] = self.stored[self.rows[start : start + _PART]]
        return moved

    def near(self, device: torch.device) -> "ImageSplit":
        """In the device's memory, unless it would fill more than a quarter of what is free there.

        Then it stays where it is (perhaps a memory-mapped file) and batches are moved as they are drawn.
        """
        size = len(self) * self.stored[:1].nbytes
        if device.type == "cuda" and size > _RESIDENT * torch.cuda.mem_get_info(device)[0]:
            return self
        return self.to(device)

    def every(self, count: int, offset: int) -> "ImageSplit":
        """Each `count`-th image, beginning with number `offset`."""
        return self._range(slice(offset, None, count))

    def first(self, n: int) -> "ImageSplit":
        """The first `n` images of the fixed order (all, when there are fewer)."""
        return self._range(slice(n))

    def _range(self, part: slice) -> "ImageSplit":
        if self.rows is None:
            return ImageSplit(self.stored[part], self.labels[part])
        return ImageSplit(self.stored, self.labels[part], self.rows[part])

    def restricted(self, class_indices: Sequence[int]) -> "ImageSplit":
        """Only the images of these classes, not copied; labels stay the indices of the whole dataset."""
        wanted = torch.tensor(list(class_indices), dtype=torch.int64, device=self.labels.device)
        chosen = torch.isin(self.labels, wanted).nonzero().flatten()
        rows = chosen if self.rows is None else self.rows[chosen]
        return ImageSplit(self.stored, self.labels[chosen], rows)

    def select(self, index: Tensor) -> "ImageSplit":
        """A copy of the images at `index` (positions or a bool mask)."""
        rows = index if self.rows is None else self.rows[index]
        return ImageSplit(self.stored[rows], self.labels[index])


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
