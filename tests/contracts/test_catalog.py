"""The torch-free catalog and the engine's registries name the same things."""

import torch

from core import architectures
from core.catalog import ARCHITECTURES, DATASETS
from core.datasets import load_dataset


def test_architectures() -> None:
    assert set(architectures.names()) == set(ARCHITECTURES)


def test_sizes_the_catalog_allows_are_sizes_the_network_takes() -> None:
    for info in ARCHITECTURES.values():
        for size in {info.min_size, info.max_size}:
            with torch.device("meta"):  # shapes without the arithmetic
                model = architectures.create(info.name, 3, (1, size, size)).eval()
                assert model(torch.empty(1, 1, size, size)).shape == (1, 3), (info.name, size)


def test_the_bundled_dataset_is_as_described() -> None:
    data, info = load_dataset("digits", None), DATASETS["digits"]
    assert data.info == info
    assert [len(s.labels) for s in (data.train, data.validation, data.test)] == [
        info.train,
        info.validation,
        info.test,
    ]
    assert tuple(data.train.images.shape[1:]) == info.input_shape
    assert int(data.train.labels.max()) == len(info.class_names) - 1
