"""A safetensors file of a stranger: its header is checked before anything is read by it.

Format: 8 bytes, the header's length (little-endian); the header, JSON: name -> dtype, shape, data_offsets;
the tensors' bytes without gaps. Nothing of it is code.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any

import torch
from torch import Tensor

from core.errors import WeightsFormatError, WeightsTypeError

# The headers of the largest networks have some hundred kilobytes.
MAX_HEADER_BYTES = 4 << 20
MAX_TENSORS = 20_000
_MAX_DIMENSIONS = 8
_LENGTH_BYTES = 8
_TOLD = 80
_DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32,
}  # fmt: skip


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies in the file, and what it is. `start` and `end` count from the file's beginning."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


class WeightsFile:
    """The tensors of a file, read one at a time.

    Args:
        file: seekable; stays open as long as tensors are read.
        size: its bytes.

    Raises:
        WeightsFormatError: it is no whole safetensors file, or its header contradicts itself.
        WeightsTypeError: a tensor is not of float64, float32, float16, bfloat16, int64 or int32.
    """

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self.tensors: Mapping[str, StoredTensor] = _tensors(*_header(file, size), size)

    def read(self, name: str) -> Tensor:
        """The tensor, in its own type, in memory of its own."""
        stored = self.tensors[name]
        self._file.seek(stored.start)
        content = bytearray(self._file.read(stored.end - stored.start))
        if len(content) != stored.end - stored.start:
            raise WeightsFormatError("The file ends before its last tensor.")
        dtype = _DTYPES[stored.dtype]
        if not content:
            return torch.empty(stored.shape, dtype=dtype)
        return torch.frombuffer(content, dtype=dtype).reshape(stored.shape)


def told(name: str) -> str:
    """A stranger's name as part of a message."""
    return repr(name if len(name) <= _TOLD else f"{name[: _TOLD - 3]}...")


def _header(file: IO[bytes], size: int) -> tuple[dict[str, Any], int]:
    """The header, and where the data begins."""
    length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
    if size < _LENGTH_BYTES or length > size - _LENGTH_BYTES:
        raise WeightsFormatError("This is no safetensors file, or not all of it: its header is cut off.")
    if length > MAX_HEADER_BYTES:
        raise WeightsFormatError(f"The header has {length} bytes; {MAX_HEADER_BYTES} are allowed.")
    try:
        header = json.loads(file.read(length), object_pairs_hook=_named_once)
    except (ValueError, RecursionError) as error:
        raise WeightsFormatError(f"The header of the safetensors file cannot be read: {error}") from error
    if not isinstance(header, dict):
        raise WeightsFormatError("The header of a safetensors file is a JSON object; this one's is not.")
    header.pop("__metadata__", None)
    if not 0 < len(header) <= MAX_TENSORS:
        raise WeightsFormatError(f"The file has {len(header)} tensors; 1 to {MAX_TENSORS} are possible.")
    return header, _LENGTH_BYTES + length


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice in one object")
    return found


def _tensors(header: dict[str, Any], begin: int, size: int) -> dict[str, StoredTensor]:
    found = {name: _entry(name, content, begin) for name, content in header.items()}
    position, last = begin, "the header"
    for name, stored in sorted(found.items(), key=lambda item: (item[1].start, item[1].end)):
        if stored.start != position:
            kind = "overlaps" if stored.start < position else "leaves a gap behind"
            raise WeightsFormatError(f"{told(name)} {kind} {last}.")
        position, last = stored.end, told(name)
    if position != size:
        where = "ends before" if position > size else "goes on behind"
        raise WeightsFormatError(f"The file {where} its last tensor.")
    return found


def _entry(name: str, content: Any, begin: int) -> StoredTensor:
    if not isinstance(content, dict) or content.keys() != {"dtype", "shape", "data_offsets"}:
        raise WeightsFormatError(f"{told(name)} needs dtype, shape and data_offsets, and nothing else.")
    dtype, shape, offsets = content["dtype"], content["shape"], content["data_offsets"]
    if not (_sizes(shape) and len(shape) <= _MAX_DIMENSIONS and _sizes(offsets) and len(offsets) == 2):
        raise WeightsFormatError(f"The shape or the offsets of {told(name)} make no sense.")
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        known = ", ".join(_DTYPES)
        raise WeightsTypeError(f"{told(name)} has dtype {told(str(dtype))}; possible are {known}.")
    start, end = offsets
    if end - start != math.prod(shape) * _DTYPES[dtype].itemsize:
        raise WeightsFormatError(f"{told(name)} has {end - start} bytes, which is not its shape and dtype.")
    return StoredTensor(dtype, tuple(shape), begin + start, begin + end)


def _sizes(value: Any) -> bool:
    """Whether it is a list of whole numbers from 0 on."""
    return isinstance(value, list) and all(type(number) is int and number >= 0 for number in value)
