"""Where each built-in dataset's raw images come from, and what is refused."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from core.catalog import DatasetInfo
from core.datasets.images import ImageSplit
from core.errors import DataRootMissingError, DatasetCorruptError

# What the readers of torchvision, pickle and scipy raise on files that are cut short or are something else.
_UNREADABLE = (
    ValueError,
    AssertionError,
    RuntimeError,
    EOFError,
    OSError,
    UnpicklingError,
    KeyError,
    IndexError,
)


def read_digits() -> ImageSplit:
    """scikit-learn's bundled scans, 0..16 grey levels spread over 0..255; (1797, 1, 8, 8).

    What its `load_digits` returns, without most of a second for importing scikit-learn.
    """
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("digits are scikit-learn's, which is not installed", name="sklearn")
    path = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    table = np.loadtxt(path, delimiter=",")  # (1797, 65): grey levels row by row, then the digit
    images = np.rint(table[:, :64].reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)
    return ImageSplit(torch.from_numpy(images), torch.from_numpy(table[:, 64].astype(np.int64)))


def read_official(info: DatasetInfo, data_root: Path | None) -> tuple[ImageSplit, ImageSplit]:
    """The official training and test images of a dataset that torchvision can read.

    Raises:
        DataRootMissingError: no data root, or the dataset's files are not in it.
        DatasetCorruptError: the files are there but are not the dataset.
    """
    reader = _READERS[info.name]
    data_root = _require_files(info, data_root)
    with _damage_named(info, (data_root / info.files[0]).parent):
        train, test = reader(data_root, True), reader(data_root, False)
    for split, size in ((train, info.train + info.validation), (test, info.test)):
        _check(split, info, size)
    return train, test


def _require_files(info: DatasetInfo, data_root: Path | None) -> Path:
    """The data root, which holds the dataset's files. Raises DataRootMissingError."""
    if data_root is None:
        needed = f"{info.name} is read from a data root: set CLEAVE_DATA_ROOT"
        raise DataRootMissingError(f"{needed} to the folder that holds {info.files[0]}")
    missing = [name for name in info.files if not (data_root / name).is_file()]
    if missing:
        needed = f"{info.name} needs {', '.join(missing)} (decompressed) in {data_root}"
        raise DataRootMissingError(f"{needed}; CLEAVE_DATA_ROOT names the data root")
    return data_root


@contextmanager
def _damage_named(info: DatasetInfo, folder: Path) -> Iterator[None]:
    try:
        yield
    except _UNREADABLE as error:
        raise DatasetCorruptError(f"the files of {info.name} in {folder} cannot be read: {error}") from error


def _check(split: ImageSplit, info: DatasetInfo, size: int) -> None:
    """Our own integrity check: md5 sums would refuse copies that differ in a file name or a few pixels."""
    expected = (size, *info.input_shape)
    if tuple(split.images.shape) != expected or len(split.labels) != size:
        found = f"{tuple(split.images.shape)} images, {len(split.labels)} labels"
        raise DatasetCorruptError(f"{info.name} should hold {expected} images; found {found}")
    if int(split.labels.min()) < 0 or int(split.labels.max()) >= len(info.class_names):
        raise DatasetCorruptError(f"{info.name} has labels outside 0..{len(info.class_names) - 1}")


def _padded(grey: Tensor) -> Tensor:
    """(N, 28, 28) -> (N, 1, 32, 32): the 32x32 networks take them, and zero is these images' background."""
    return F.pad(grey.unsqueeze(1), (2, 2, 2, 2))


def _mnist(data_root: Path, train: bool) -> ImageSplit:
    from torchvision.datasets import MNIST  # seconds of import that the bundled digits do not need

    data = MNIST(str(data_root), train=train)
    return ImageSplit(_padded(data.data), data.targets)


def _fashion_mnist(data_root: Path, train: bool) -> ImageSplit:
    from torchvision.datasets import FashionMNIST

    data = FashionMNIST(str(data_root), train=train)
    return ImageSplit(_padded(data.data), data.targets)


def _cifar10(data_root: Path, train: bool) -> ImageSplit:
    from torchvision.datasets import CIFAR10

    class UncheckedCifar10(CIFAR10):  # type: ignore[misc]  # torchvision is untyped
        def _check_integrity(self) -> bool:
            return True

        def _load_meta(self) -> None:
            """The class names are the catalogue's."""

    data: Any = UncheckedCifar10(str(data_root), train=train)
    images = torch.from_numpy(np.ascontiguousarray(data.data.transpose(0, 3, 1, 2)))
    return ImageSplit(images, torch.tensor(data.targets, dtype=torch.int64))


def _svhn(data_root: Path, train: bool) -> ImageSplit:
    from torchvision.datasets import SVHN

    data = SVHN(str(data_root), split="train" if train else "test")
    return ImageSplit(torch.from_numpy(np.ascontiguousarray(data.data)), torch.from_numpy(data.labels).long())


# dataset -> reader(data_root, train).
_READERS: dict[str, Callable[[Path, bool], ImageSplit]] = {
    "mnist": _mnist,
    "fashion_mnist": _fashion_mnist,
    "cifar10": _cifar10,
    "svhn": _svhn,
}
