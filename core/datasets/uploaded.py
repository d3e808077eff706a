"""Uploaded datasets, in the canonical form that `core.importing` writes."""

import json
from pathlib import Path

import numpy as np
import torch

from core.catalog import DatasetInfo
from core.datasets.images import ImageData, ImageSplit
from core.errors import DatasetCorruptError


def load_uploaded(images: Path, labels: Path, description: Path) -> ImageData:
    """The dataset in these three files. The images stay in their file, mapped into memory.

    Raises:
        DatasetCorruptError: the files are not those of one dataset.
    """
    info, digest = read_description(description)
    # Copy-on-write: torch warns of arrays that cannot be written, and nothing here writes.
    pixels, classes = np.load(images, mmap_mode="c"), np.load(labels)
    ends = [info.train, info.train + info.validation, info.train + info.validation + info.test]
    if pixels.shape != (ends[-1], *info.input_shape) or classes.shape != (ends[-1],):
        found = f"{pixels.shape} images, {classes.shape} labels"
        raise DatasetCorruptError(f"{info.name} should hold {ends[-1]} images; found {found}")
    whole = ImageSplit(torch.from_numpy(pixels), torch.from_numpy(classes))
    train, validation, test = (
        ImageSplit(whole.images[start:end], whole.labels[start:end])
        for start, end in zip([0, *ends], ends, strict=False)
    )
    return ImageData(info, train, validation, test, digest)


def read_description(path: Path) -> tuple[DatasetInfo, str]:
    """What a dataset is, and its digest."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return DatasetInfo.model_validate(content["info"]), content["digest"]
