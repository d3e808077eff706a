"""Formats that hold many images in one array: blocks of rows with their labels."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.errors import CoreError, DatasetCorruptError, DatasetInvalidError
from core.importing.limits import MAX_PIXELS
from core.importing.sources import Overview, Sample, SplitName, require_names

_MAX_CLASSES = 10_000


@dataclass(frozen=True)
class Block:
    """Images of one array. `rows()` gives them again from the start, each (H, W) or (H, W, 3) uint8."""

    name: str
    split: SplitName | None
    shape: tuple[int, int, int]
    """(H, W, C)."""
    pixels: str
    labels: NDArray[Any]
    rows: Callable[[], Iterator[NDArray[np.uint8]]]


class BlockSource:
    """A source made of blocks."""

    def __init__(self, format_name: str, blocks: Sequence[Block], class_names: Sequence[str] | None) -> None:
        if not blocks:
            raise DatasetInvalidError("The file has no images and labels.")
        self._blocks = blocks
        self.overview = Overview(format_name)
        names, self._labels = _numbered([block.labels for block in blocks], class_names)
        require_names(names)
        self.overview.class_names = names
        for block in blocks:
            height, width, channels = block.shape
            self.overview.count += len(block.labels)
            self.overview.sizes[width, height] += len(block.labels)
            self.overview.pixels[block.pixels] += len(block.labels)
            self.overview.grey = self.overview.grey and channels == 1

    def samples(self) -> Iterator[Sample]:
        for block, labels in zip(self._blocks, self._labels, strict=True):
            for number, (pixels, label) in enumerate(zip(block.rows(), labels.tolist(), strict=True)):
                yield Sample(f"{block.name}[{number}]", label, block.split, Image.fromarray(pixels))


def require_pairs(name: str, images: int, labels: NDArray[Any]) -> None:
    """Raises DatasetInvalidError unless there is a label for each image."""
    if labels.shape != (images,):
        found = " x ".join(map(str, labels.shape)) or "one"
        raise DatasetInvalidError(f"{name}: there are {images} images and {found} labels.")


def require_pixels(name: str, height: int, width: int) -> None:
    """Raises DatasetInvalidError unless an image of this size can be read."""
    if min(height, width) < 1 or height * width > MAX_PIXELS:
        most = f"1 to {MAX_PIXELS // 1_000_000} million"
        raise DatasetInvalidError(f"{name}: an image needs {most} pixels; these are {width}x{height}.")


@contextmanager
def trouble_named(told: str, *others: type[Exception]) -> Iterator[None]:
    """Whatever pickle or numpy's reader of headers raises becomes DatasetInvalidError with this message.

    Both follow a stranger's bytes into many parts of Python, and nothing says what they raise there.

    Args:
        others: Not theirs.
    """
    passed: tuple[type[Exception], ...] = (CoreError, MemoryError, OSError, *others)
    try:
        yield
    except passed:
        raise
    except Exception as error:
        raise DatasetInvalidError(f"{told}: {type(error).__name__}.") from error


def read_exactly(file: IO[bytes], size: int, name: str) -> bytes:
    """Raises DatasetCorruptError where the file ends before."""
    content = file.read(size)
    if len(content) < size:
        raise DatasetCorruptError(f"{name} is cut short.")
    return content


def _numbered(
    labels: Sequence[NDArray[Any]], class_names: Sequence[str] | None
) -> tuple[list[str], list[NDArray[np.int64]]]:
    """Class names, and each block's labels as positions in them. Raises DatasetInvalidError."""
    if any(block.dtype.kind not in "iuUS" for block in labels):
        raise DatasetInvalidError("Labels must be whole numbers or texts.")
    try:
        texts = [block.astype(str) if block.dtype.kind in "US" else block for block in labels]
    except UnicodeDecodeError as error:
        raise DatasetInvalidError("Labels of bytes must be ASCII.") from error
    if len({block.dtype.kind in "US" for block in labels}) > 1:
        raise DatasetInvalidError("Labels must be all numbers or all texts.")
    found = np.unique(np.concatenate(texts))
    if len(found) < 2 or len(found) > _MAX_CLASSES:
        raise DatasetInvalidError(f"The file has {len(found)} class(es), not 2 to {_MAX_CLASSES}.")
    if found.dtype.kind != "U":
        low, high, most = int(found[0]), int(found[-1]), len(class_names or []) - 1
        if low < 0 or (class_names is not None and high > most):
            allowed = "0 or more" if class_names is None else f"0 to {most}"
            raise DatasetInvalidError(f"Labels run from {low} to {high}; they must be {allowed}.")
        if class_names is not None:
            return list(class_names), [block.astype(np.int64) for block in texts]
        return [str(value) for value in found.tolist()], [np.searchsorted(found, block) for block in texts]
    known = found.tolist() if class_names is None else list(class_names)
    if set(known) != set(found.tolist()):
        raise DatasetInvalidError("class_names must be the labels of the file.")
    places = np.array([known.index(name) for name in found.tolist()], dtype=np.int64)
    return known, [places[np.searchsorted(found, block)] for block in texts]
