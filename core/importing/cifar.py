"""CIFAR's python batches. They are pickles, and a pickle is a program: it may call what builds arrays."""

import io
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import ArchiveUnsafeError, DatasetInvalidError
from core.importing.archives import Readable, names_of, opened
from core.importing.blocks import Block, BlockSource, require_pairs, trouble_named
from core.importing.sources import SplitName

_SIDE = 32
_MAX_BYTES = 256 << 20
_LABELS = ("labels", "fine_labels")
_NAMES = ("label_names", "fine_label_names")
_META = ("batches.meta", "meta")
_BATCHES: dict[str, SplitName] = {
    **{f"data_batch_{number}": "train" for number in range(1, 6)}, "test_batch": "test",
    "train": "train", "test": "test",
}  # fmt: skip


def is_cifar(names: list[str]) -> bool:
    """Whether these are the files of CIFAR-10 or CIFAR-100."""
    last = {name.rpartition("/")[2] for name in names}
    return "data_batch_1" in last or {"train", "test", "meta"} <= last


def cifar_source(source: Readable, uploaded: int, class_names: list[str] | None) -> BlockSource:
    """Raises DatasetInvalidError, and ArchiveUnsafeError for a pickle that calls anything else."""
    names = {name.rpartition("/")[2]: name for name in names_of(source, uploaded)}
    batches = [(names[last], split) for last, split in _BATCHES.items() if last in names]
    blocks = [_block(partial(_batch, source, uploaded, name), name, split) for name, split in batches]
    meta = next((names[last] for last in _META if last in names), None)
    if class_names is None and meta is not None:
        class_names = _named(_load(source, uploaded, meta), meta)
    return BlockSource("cifar", blocks, class_names)


def _block(read: Callable[[], tuple[NDArray[np.uint8], list[int]]], name: str, split: SplitName) -> Block:
    images, labels = read()
    with trouble_named(f"{name} has labels that are no numbers of classes"):
        numbers = np.array(labels, dtype=np.int64)
    require_pairs(name, len(images), numbers)
    return Block(name, split, (_SIDE, _SIDE, 3), "uint8", numbers, lambda: iter(read()[0]))


def _batch(source: Readable, uploaded: int, name: str) -> tuple[NDArray[np.uint8], list[int]]:
    """Images (N, 32, 32, 3) and labels."""
    content = _load(source, uploaded, name)
    data = content.get("data")
    labels = next((content[key] for key in _LABELS if key in content), None)
    fits = type(data) is np.ndarray and data.dtype == np.uint8 and data.shape[1:] == (3 * _SIDE * _SIDE,)
    if not fits or not isinstance(labels, list) or any(type(label) is not int for label in labels):
        raise DatasetInvalidError(f"{name} is no batch of CIFAR.")
    assert isinstance(data, np.ndarray)  # noqa: S101 - for the type checker
    return data.reshape(-1, 3, _SIDE, _SIDE).transpose(0, 2, 3, 1), labels


def _named(content: dict[str, Any], name: str) -> list[str]:
    names = next((content[key] for key in _NAMES if key in content), None)
    if not isinstance(names, list) or not all(isinstance(n, str) and 0 < len(n) <= 200 for n in names):
        raise DatasetInvalidError(f"{name} has no names of classes.")
    return names


def _load(source: Readable, uploaded: int, name: str) -> dict[str, Any]:
    with opened(source, uploaded, name) as file:
        content = file.read(_MAX_BYTES)
    with trouble_named(f"{name} is no batch of CIFAR"):
        # Python 2 wrote them: its byte strings become texts, of which numpy takes its arrays back.
        loaded = _Unpickler(io.BytesIO(content), encoding="latin1").load()
    if not isinstance(loaded, dict):
        raise DatasetInvalidError(f"{name} is no batch of CIFAR.")
    return {key.decode("latin1") if isinstance(key, bytes) else key: value for key, value in loaded.items()}


def _latin1(text: str, codec: str) -> bytes:
    if codec != "latin1":
        raise ArchiveUnsafeError("A pickle asks for another encoding than numpy's.")
    return text.encode("latin1")


class _Unpickler(pickle.Unpickler):
    """Builds numbers, texts, lists, dicts and numpy arrays, and calls nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """Raises ArchiveUnsafeError."""
        found = _CALLABLE.get((module.replace("numpy._core.", "numpy.core."), name))
        if found is None:
            asked = f"{module[:50]}.{name[:50]}"
            raise ArchiveUnsafeError(f"A pickle in the file asks for {asked}; nothing was run.")
        return found


_CALLABLE: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): np.zeros(0).__reduce__()[0],
    ("numpy.core.numeric", "_frombuffer"): np.zeros(0).__reduce_ex__(5)[0],
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _latin1,
}
