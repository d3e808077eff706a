"""Name -> images with the fixed train/validation/test protocol."""

from pathlib import Path

from core.catalog import DATASETS, DatasetInfo
from core.datasets.images import ImageData, ImageSplit
from core.datasets.sources import read_digits, read_official
from core.datasets.splits import stratified_holdout
from core.errors import UnknownDatasetError


def load_dataset(name: str, data_root: Path | None) -> ImageData:
    """A built-in dataset.

    Official test images are the test split; validation images are held out of the training images by class.
    scikit-learn's digits have no official split, so both are held out.

    Args:
        name: a key of `core.catalog.DATASETS`.
        data_root: folder of downloaded datasets in torchvision's layout; None where the dataset needs none.

    Raises:
        UnknownDatasetError: no such name.
        DataRootMissingError: no data root, or the files are not in it.
        DatasetCorruptError: the files are there but are not the dataset.
    """
    info = DATASETS.get(name)
    if info is None:
        raise UnknownDatasetError(f"no dataset is named {name!r}; known: {', '.join(DATASETS)}")
    return _assemble(info, data_root)


def _assemble(info: DatasetInfo, data_root: Path | None) -> ImageData:
    if info.needs_data_root:
        rest, test = read_official(info, data_root)
    else:
        rest, test = _hold_out(read_digits(), info.test, purpose=0)
    train, validation = _hold_out(rest, info.validation, purpose=1)
    return ImageData.of(info, train, validation, test)


def _hold_out(split: ImageSplit, size: int, *, purpose: int) -> tuple[ImageSplit, ImageSplit]:
    held = stratified_holdout(split.labels, size, purpose=purpose)
    return split.select(~held), split.select(held)
