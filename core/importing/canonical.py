"""The canonical form: `images.npy` uint8 (N, C, H, W), `labels.npy` int64 (N,), `dataset.json`.

The images of train come first, then validation, then test; within each they are shuffled.
"""

import hashlib
import json
import os
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from core.catalog import DatasetInfo
from core.errors import DatasetCorruptError, ImportTooLargeError
from core.importing.pictures import UNREADABLE, explain, pixels_of
from core.importing.sources import SPLIT_NAMES, Sample
from core.importing.splits import UNKNOWN
from core.results import CorruptFile

IMAGES, LABELS, DESCRIPTION = "images.npy", "labels.npy", "dataset.json"
_MAX_CORRUPT_SHARE = 0.05
_MAX_CORRUPT_LISTED = 100
_BATCH_BYTES = 4 << 20
_WHITE = 255.0


class Collected:
    """The images in the file's order, in a scratch file; what is known about each, in memory."""

    def __init__(self, scratch: Path, shape: tuple[int, int, int], size: int | None, max_bytes: int) -> None:
        self.shape = shape
        self.labels, self.splits, self.hashes = array("q"), array("b"), array("Q")
        self.corrupt: list[CorruptFile] = []
        self.corrupt_count = 0
        self._size = size
        self._each = int(np.prod(shape))
        self._room = max_bytes // self._each
        self._path = scratch
        self._file: IO[bytes] = scratch.open("w+b")

    def add(self, sample: Sample) -> None:
        """Keep an image, or note why it cannot be. Raises ImportTooLargeError."""
        try:
            pixels = self._pixels(sample)
        except UNREADABLE as error:
            self.corrupt_count += 1
            if len(self.corrupt) < _MAX_CORRUPT_LISTED:
                self.corrupt.append(CorruptFile(name=sample.name[:300], reason=explain(error)))
            return
        if len(self.labels) >= self._room:
            raise ImportTooLargeError(
                "The images are more than the service keeps; choose a smaller image_size."
            )
        self._file.write(pixels)
        self.labels.append(sample.label)
        self.splits.append(UNKNOWN if sample.split is None else SPLIT_NAMES.index(sample.split))
        self.hashes.append(int.from_bytes(hashlib.blake2b(pixels, digest_size=8).digest(), "little"))

    def finish(self) -> None:
        """Raises DatasetCorruptError when too many images could not be read."""
        self._file.flush()
        seen = len(self.labels) + self.corrupt_count
        if self.corrupt_count > _MAX_CORRUPT_SHARE * seen:
            first = f"; {self.corrupt[0].name}: {self.corrupt[0].reason}" if self.corrupt else ""
            raise DatasetCorruptError(f"{self.corrupt_count} of {seen} images cannot be read{first}")

    def read(self, index: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The images at these positions, (len(index), C, H, W)."""
        number = self._file.fileno()
        content = b"".join(os.pread(number, self._each, int(i) * self._each) for i in index)
        return np.frombuffer(content, np.uint8).reshape(-1, *self.shape)

    def close(self) -> None:
        self._file.close()
        self._path.unlink()

    def _pixels(self, sample: Sample) -> bytes:
        if sample.image is None:
            raise ValueError(sample.problem)
        pixels = pixels_of(sample.image, self.shape[0], self._size)
        if pixels.shape != self.shape:
            raise ValueError(f"{sample.image.width}x{sample.image.height} pixels, unlike the others")
        return pixels.tobytes()


class Written:
    """Digest and colour statistics of what `write` has written."""

    def __init__(self, channels: int) -> None:
        self._digest = hashlib.sha256()
        self._histograms = np.zeros((channels, 256), dtype=np.int64)

    @property
    def digest(self) -> str:
        """As core.datasets computes it from tensors."""
        return self._digest.hexdigest()

    def begin(self, dtype: str, shape: tuple[int, ...]) -> None:
        # The text that torch gives to a dtype and a shape.
        self._digest.update(f"torch.{dtype}{tuple(shape)}".encode())

    def update(self, content: bytes | memoryview) -> None:
        self._digest.update(content)

    def count(self, images: NDArray[np.uint8]) -> None:
        for channel, histogram in enumerate(self._histograms):
            histogram += np.bincount(images[:, channel].ravel(), minlength=256)

    def mean_and_std(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Per channel, of images scaled to [0, 1]; a deviation of 0 would divide by itself: 1 instead."""
        levels = np.arange(256) / _WHITE
        share = self._histograms / self._histograms.sum(axis=1, keepdims=True)
        mean = share @ levels
        std = np.sqrt((share * (levels - mean[:, None]) ** 2).sum(axis=1))
        return tuple(mean.round(6).tolist()), tuple(np.where(std < 1e-6, 1.0, std).round(6).tolist())


def write(
    folder: Path,
    collected: Collected,
    splits: NDArray[np.int8],
    order: NDArray[np.int64],
    tell: Callable[[float], None],
) -> Written:
    """Write `images.npy` and `labels.npy` in this order."""
    labels = np.frombuffer(collected.labels, np.int64)[order]
    written, done = Written(collected.shape[0]), 0
    step = max(1, _BATCH_BYTES // int(np.prod(collected.shape)))
    with (folder / IMAGES).open("wb") as images:
        _header(images, "|u1", (len(order), *collected.shape))
        for split in range(len(SPLIT_NAMES)):
            part = order[splits[order] == split]
            written.begin("uint8", (len(part), *collected.shape))
            for start in range(0, len(part), step):
                batch = collected.read(part[start : start + step])
                images.write(batch.data)
                written.update(batch.data)
                if split == 0:
                    written.count(batch)
                done += len(batch)
                tell(done / len(order))
            written.begin("int64", (len(part),))
            written.update(labels[done - len(part) : done].astype("<i8").tobytes())
    with (folder / LABELS).open("wb") as file:
        _header(file, "<i8", (len(labels),))
        file.write(labels.astype("<i8").tobytes())
    return written


def describe(folder: Path, info: DatasetInfo, digest: str) -> None:
    """Write `dataset.json`."""
    content = {"format": "cleave-dataset/1", "digest": digest, "info": info.model_dump(mode="json")}
    (folder / DESCRIPTION).write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")


def _header(file: IO[bytes], dtype: str, shape: tuple[int, ...]) -> None:
    content = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, content)
