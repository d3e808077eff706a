"""numpy's archives: x and y, or x_train, y_train, x_test, y_test. The images are read row by row."""

from collections.abc import Iterator
from functools import partial
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from core.errors import DatasetInvalidError
from core.importing.archives import DAMAGE, Readable, names_of, opened
from core.importing.blocks import (
    Block,
    BlockSource,
    read_exactly,
    require_pairs,
    require_pixels,
    trouble_named,
)
from core.importing.sources import SplitName

_KEYS: tuple[tuple[str, str, SplitName | None], ...] = (
    ("x", "y", None), ("images", "labels", None), ("x_train", "y_train", "train"),
    ("x_val", "y_val", "validation"), ("x_test", "y_test", "test"),
)  # fmt: skip
_NAMES = ("class_names", "classes")
_WHITE = 255.0
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def npz_source(source: Readable, uploaded: int, class_names: list[str] | None) -> BlockSource:
    """Raises DatasetInvalidError, DatasetCorruptError."""
    archive = _Archive(source, uploaded)
    pairs = [pair for pair in _KEYS if {pair[0], pair[1]} <= archive.keys]
    if not pairs:
        raise DatasetInvalidError("An npz file needs the arrays x and y, or x_train, y_train, ...")
    images = [archive.images(x) for x, _, _ in pairs]
    scale = _scale(images)
    blocks = [
        _block(archive, found, y, split, scale) for found, (_, y, split) in zip(images, pairs, strict=True)
    ]
    named = class_names or next((archive.texts(key) for key in _NAMES if key in archive.keys), None)
    return BlockSource("npz", blocks, named)


class _Archive:
    def __init__(self, source: Readable, uploaded: int) -> None:
        self._source = source
        self._uploaded = uploaded
        self.keys = {name.removesuffix(".npy") for name in names_of(source, uploaded)}

    def open(self, key: str) -> Any:
        return opened(self._source, self._uploaded, f"{key}.npy")

    def images(self, key: str) -> "_Images":
        with self.open(key) as file:
            shape, dtype = _header(file, key)
        return _Images(self, key, shape, dtype)

    def array(self, key: str) -> NDArray[Any]:
        """A small array. Raises DatasetInvalidError for pickled objects."""
        with self.open(key) as file, trouble_named(f"The array {key} cannot be read", *DAMAGE):
            return np.asarray(npy.read_array(file, allow_pickle=False))

    def texts(self, key: str) -> list[str]:
        names = self.array(key)
        if names.dtype.kind != "U" or names.ndim != 1 or len(set(names.tolist())) < len(names):
            raise DatasetInvalidError(f"The array {key} must be a list of different texts.")
        return [str(name) for name in names.tolist()]


class _Images:
    """An array of images, as it lies in the archive."""

    def __init__(self, archive: _Archive, key: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.key = key
        self.count = shape[0]
        self.dtype = dtype
        self._archive = archive
        self._shape = shape[1:]
        self.layout = _layout(key, self._shape)
        require_pixels(key, *self.layout[:2])

    def rows(self) -> Iterator[NDArray[Any]]:
        """Each (H, W) or (H, W, 3), of the array's own type."""
        size = int(np.prod(self._shape)) * self.dtype.itemsize
        height, width, channels = self.layout
        with self._archive.open(self.key) as file:
            _header(file, self.key)
            for _ in range(self.count):
                row = np.frombuffer(read_exactly(file, size, self.key), self.dtype).reshape(self._shape)
                if self._shape != self.layout and row.ndim == 3:
                    row = row.transpose(1, 2, 0)
                yield row.reshape(height, width) if channels == 1 else row


def _header(file: IO[bytes], key: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Raises DatasetInvalidError for what is no plain array of numbers in C order."""
    with trouble_named(f"The array {key} has no readable header", *DAMAGE):
        shape, fortran, dtype = _HEADERS[npy.read_magic(file)](file)
    if fortran or dtype.kind not in "uifb" or len(shape) < 3:
        raise DatasetInvalidError(
            f"The array {key} must hold numbers in C order, as N x H x W, N x H x W x C or N x C x H x W."
        )
    return shape, dtype


def _layout(key: str, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(H, W, C)."""
    if len(shape) == 2:
        return shape[0], shape[1], 1
    if len(shape) == 3 and shape[2] in (1, 3):
        return shape[0], shape[1], shape[2]
    if len(shape) == 3 and shape[0] in (1, 3):
        return shape[1], shape[2], shape[0]
    raise DatasetInvalidError(f"The array {key} must hold images of 1 or 3 channels.")


def _scale(arrays: list[_Images]) -> float:
    """What takes the values to 0..255. Raises DatasetInvalidError where nothing does."""
    if all(images.dtype == np.uint8 for images in arrays):
        return 1.0
    low, high, finite = 0.0, 0.0, True
    for images in arrays:
        for row in images.rows():
            low, high = min(low, float(row.min())), max(high, float(row.max()))
            finite = finite and bool(np.isfinite(row).all())
    if not finite:
        raise DatasetInvalidError("The images have values that are NaN or infinite.")
    if low < 0 or high > _WHITE:
        raise DatasetInvalidError(f"The images run from {low:g} to {high:g}; they must be in 0..1 or 0..255.")
    fractions = any(images.dtype.kind in "fb" for images in arrays)
    return _WHITE if fractions and high <= 1 else 1.0


def _block(archive: _Archive, images: _Images, y: str, split: SplitName | None, scale: float) -> Block:
    labels = archive.array(y)
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    require_pairs(images.key, images.count, labels)
    rows = partial(_bytes, images, scale)
    return Block(images.key, split, images.layout, str(images.dtype), labels, rows)


def _bytes(images: _Images, scale: float) -> Iterator[NDArray[np.uint8]]:
    for row in images.rows():
        yield row if row.dtype == np.uint8 else np.rint(row.astype(np.float64) * scale).astype(np.uint8)
