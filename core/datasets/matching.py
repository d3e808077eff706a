"""A dataset as a network sees it: its own classes by name, in its own order, normalised as it expects."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from core.datasets.images import ImageData, ImageSplit
from core.errors import DatasetMismatchError


def as_seen_by(
    data: ImageData, classes: Sequence[str], mean: Sequence[float], std: Sequence[float]
) -> ImageData:
    """Labels become positions in `classes`; images of classes that are not among them are left out.

    Raises:
        DatasetMismatchError: the dataset knows none of the classes.
    """
    info = data.info.model_copy(
        update={"class_names": tuple(classes), "mean": tuple(mean), "std": tuple(std)}
    )
    if tuple(classes) == data.info.class_names:
        return replace(data, info=info)
    if not set(classes) & set(data.info.class_names):
        raise DatasetMismatchError(f"{data.info.name} has none of the classes: {', '.join(classes)}")
    position = {name: index for index, name in enumerate(classes)}
    table = torch.tensor([position.get(name, -1) for name in data.info.class_names])
    return replace(
        data,
        info=info,
        train=_relabelled(data.train, table),
        validation=_relabelled(data.validation, table),
        test=_relabelled(data.test, table),
    )


def _relabelled(split: ImageSplit, table: Tensor) -> ImageSplit:
    labels = table[split.labels]
    known = (labels >= 0).nonzero().flatten()
    rows = known if split.rows is None else split.rows[known]
    return ImageSplit(split.stored, labels[known], rows)
