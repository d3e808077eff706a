"""MNIST's idx files, compressed or not, in an archive: images and labels, perhaps of train and test."""

import gzip
import io
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from core.errors import DatasetCorruptError, DatasetInvalidError
from core.importing.archives import Counted, Readable, names_of, opened
from core.importing.blocks import Block, BlockSource, read_exactly, require_pairs, require_pixels
from core.importing.limits import Budget
from core.importing.sources import SplitName

NAME = re.compile(r"(?P<part>.*?)(?P<what>images|labels)[.-]idx[13][.-]ubyte(\.gz)?\Z")
_IMAGES, _LABELS = 0x0803, 0x0801
_MAX_LABELS = 100_000_000


def idx_source(source: Readable, uploaded: int, class_names: list[str] | None) -> BlockSource:
    """Raises DatasetInvalidError, DatasetCorruptError."""
    files = _Files(source, uploaded)
    found: dict[str, dict[str, str]] = {}
    for name in names_of(source, uploaded):
        match = NAME.match(name.rpartition("/")[2])
        if match:
            found.setdefault(match["part"], {})[match["what"]] = name
    if any(len(pair) < 2 for pair in found.values()):
        raise DatasetInvalidError("Each idx file of images needs one of labels with the same name.")
    return BlockSource("idx", [files.block(part, pair) for part, pair in sorted(found.items())], class_names)


class _Files:
    def __init__(self, source: Readable, uploaded: int) -> None:
        self._source = source
        self._uploaded = uploaded

    def block(self, part: str, pair: dict[str, str]) -> Block:
        with self._open(pair["images"]) as file:
            count, height, width = self._header(file, _IMAGES, pair["images"])
        require_pixels(pair["images"], height, width)
        with self._open(pair["labels"]) as file:
            (size,) = self._header(file, _LABELS, pair["labels"])
            if size > _MAX_LABELS:
                raise DatasetInvalidError(f"{pair['labels']} says that it has {size} labels.")
            labels = np.frombuffer(read_exactly(file, size, pair["labels"]), np.uint8).astype(np.int64)
        require_pairs(pair["images"], count, labels)
        rows = partial(self._rows, pair["images"])
        return Block(pair["images"], _split(part), (height, width, 1), "uint8", labels, rows)

    def _rows(self, name: str) -> Iterator[NDArray[np.uint8]]:
        with self._open(name) as file:
            count, height, width = self._header(file, _IMAGES, name)
            for _ in range(count):
                row = read_exactly(file, height * width, name)
                yield np.frombuffer(row, np.uint8).reshape(height, width)

    def _header(self, file: IO[bytes], magic: int, name: str) -> tuple[int, ...]:
        dimensions = magic & 0xFF
        found, *shape = struct.unpack(f">{1 + dimensions}I", read_exactly(file, 4 + 4 * dimensions, name))
        if found != magic or min(shape) < 1:
            raise DatasetCorruptError(f"{name} is no idx file of bytes in {dimensions} dimension(s).")
        return tuple(shape)

    @contextmanager
    def _open(self, name: str) -> Iterator[IO[bytes]]:
        with opened(self._source, self._uploaded, name) as file:
            if not name.endswith(".gz"):
                yield file
                return
            unpacked = Counted(cast(Any, gzip.GzipFile(fileobj=file)), Budget(self._uploaded))
            yield cast(IO[bytes], io.BufferedReader(unpacked))


def _split(part: str) -> SplitName | None:
    if "t10k" in part or "test" in part:
        return "test"
    if "val" in part:
        return "validation"
    return "train" if "train" in part else None
