"""The built-in datasets: sizes, fixed stratified splits, batches, augmentation, and what is refused."""

import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from core.catalog import DATASETS, DatasetInfo
from core.datasets import BatchPlan, ImageData, ImageSplit, augment, batches, draw, load_dataset, normalise
from core.datasets.sources import read_digits
from core.datasets.splits import stratified_holdout
from core.errors import DataRootMissingError, DatasetCorruptError, UnknownDatasetError
from core.seeding import generator

CPU = torch.device("cpu")
CIFAR = DATASETS["cifar10"]


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load_dataset("digits", None)


class TestDigits:
    def test_it_has_the_sizes_of_the_catalogue(self, digits: ImageData) -> None:
        info = DATASETS["digits"]
        sizes = (len(digits.train), len(digits.validation), len(digits.test))
        assert sizes == (info.train, info.validation, info.test) == (1257, 180, 360)
        assert digits.train.images.shape[1:] == info.input_shape
        assert digits.train.images.dtype == torch.uint8
        assert digits.train.images.max() == 255

    def test_the_images_are_those_of_scikit_learn(self) -> None:
        """It is not asked for them, which would take longer than reading them."""
        from sklearn.datasets import load_digits

        bundle, found = load_digits(), read_digits()
        assert torch.equal(found.labels, torch.from_numpy(bundle.target).long())
        grey = found.images.squeeze(1) * (16 / 255)
        torch.testing.assert_close(grey, torch.from_numpy(bundle.images).float(), atol=0.05, rtol=0)

    def test_the_splits_are_disjoint_and_hold_everything(self, digits: ImageData) -> None:
        rows = torch.cat([s.images.flatten(1) for s in (digits.train, digits.validation, digits.test)])
        assert len(torch.unique(rows, dim=0)) == len(rows) == 1797

    def test_every_class_is_held_out_in_proportion(self, digits: ImageData) -> None:
        assert digits.validation.labels.bincount().tolist() == [18] * 10
        assert set(digits.test.labels.bincount().tolist()) <= {35, 36, 37}

    def test_the_split_never_changes(self, digits: ImageData) -> None:
        """Stored models name this digest: another value means that their figures belong to other data."""
        assert digits.digest == "eeddb50aa51e5a4f734205beec98d39561af4debdc724c1786186a5f5e8f5022"

    def test_the_catalogue_normalises_to_mean_0_and_deviation_1(self, digits: ImageData) -> None:
        images = normalise(digits.train.images, digits.info)
        assert images.dtype == torch.float32
        assert (images.mean().item(), images.std().item()) == pytest.approx((0.0, 1.0), abs=2e-3)

    def test_the_digest_depends_on_pixels_labels_and_splits(self, digits: ImageData) -> None:
        train = digits.train
        pixels, labels = train.images.clone(), train.labels.clone()
        pixels[0, 0, 0, 0] += 1
        labels[0] += 1
        others = [
            ImageData.of(digits.info, ImageSplit(pixels, train.labels), digits.validation, digits.test),
            ImageData.of(digits.info, ImageSplit(train.images, labels), digits.validation, digits.test),
            ImageData.of(digits.info, train, digits.test, digits.validation),
        ]
        assert len({digits.digest, *(other.digest for other in others)}) == 4


class TestSplit:
    def test_restriction_keeps_the_original_indices(self, digits: ImageData) -> None:
        part = digits.test.restricted([8, 3])
        assert set(part.labels.tolist()) == {3, 8}
        assert len(part) == int(((digits.test.labels == 3) | (digits.test.labels == 8)).sum())
        assert torch.equal(part.images[0], digits.test.images[(digits.test.labels % 5 == 3).nonzero()[0, 0]])

    def test_first_is_a_prefix(self, digits: ImageData) -> None:
        assert torch.equal(digits.train.first(5).images, digits.train.images[:5])
        assert len(digits.test.first(10**6)) == len(digits.test)

    def test_quotas_of_uneven_classes_add_up(self) -> None:
        labels = torch.tensor([0] * 50 + [1] * 33 + [2] * 17)
        held = stratified_holdout(labels, 10, purpose=1)
        assert labels[held].bincount().tolist() == [5, 3, 2]
        assert torch.equal(held, stratified_holdout(labels, 10, purpose=1))
        assert not torch.equal(held, stratified_holdout(labels, 10, purpose=2))


class TestBatches:
    def numbered(self, count: int) -> ImageSplit:
        """Images whose pixels are their own number."""
        numbers = torch.arange(count, dtype=torch.uint8)
        return ImageSplit(
            numbers.view(-1, 1, 1, 1).expand(count, 3, 32, 32).contiguous(), torch.arange(count)
        )

    def test_without_seeds_the_order_is_the_splits(self) -> None:
        labels = [y.tolist() for _, y in batches(self.numbered(7), CIFAR, 3, device=CPU)]
        assert labels == [[0, 1, 2], [3, 4, 5], [6]]

    def test_a_shuffled_pass_holds_every_image_once_with_its_label(self) -> None:
        split = self.numbered(50)
        passes = list(batches(split, CIFAR, 8, device=CPU, shuffle_seed=3))
        labels = torch.cat([y for _, y in passes])
        assert labels.sort().values.tolist() == list(range(50))
        assert labels.tolist() != list(range(50))
        assert torch.equal(torch.cat([x for x, _ in passes]), normalise(split.images[labels], CIFAR))

    def test_a_pass_begun_in_the_middle_continues_as_the_whole_one(self) -> None:
        split = self.numbered(50)
        whole = list(draw(split, CIFAR, BatchPlan(8, shuffle_seed=3, augment_seed=4), CPU))
        part = list(draw(split, CIFAR, BatchPlan(8, shuffle_seed=3, augment_seed=4, start=4), CPU))
        assert len(part) == 3
        for (images, labels), (expected, theirs) in zip(part, whole[4:], strict=True):
            assert torch.equal(images, expected)
            assert torch.equal(labels, theirs)

    @pytest.mark.parametrize(("size", "count"), [(16, 2), (17, 2), (18, 3)])
    def test_a_single_last_image_is_left_out_on_request(self, size: int, count: int) -> None:
        plan = BatchPlan(8, drop_single=True)
        assert plan.batch_count(size) == len(list(draw(self.numbered(size), CIFAR, plan, CPU))) == count


class TestAugmentation:
    def images(self, count: int = 64) -> Tensor:
        return torch.randint(1, 256, (count, 3, 32, 32), generator=generator("pixels")).to(torch.uint8)

    def test_each_image_is_some_crop_of_its_padded_self_perhaps_flipped(self) -> None:
        images = self.images(16)
        found = augment(images, CIFAR, generator(1))
        padded = torch.nn.functional.pad(images, (4, 4, 4, 4))
        for image, result in zip(padded, found, strict=True):
            crops = image.unfold(1, 32, 1).unfold(2, 32, 1)  # (C, 9, 9, 32, 32)
            same = [
                (crops == wanted[:, None, None]).all(dim=(0, 3, 4)) for wanted in (result, result.flip(2))
            ]
            assert int(sum(s.sum() for s in same)) == 1

    def test_images_get_draws_of_their_own(self) -> None:
        one = self.images(1).expand(64, -1, -1, -1)
        assert len(torch.unique(augment(one, CIFAR, generator(1)), dim=0)) > 40

    def test_about_half_are_flipped_and_only_where_the_dataset_says_so(self) -> None:
        images = self.images()
        only_flip = CIFAR.model_copy(update={"crop_padding": 0})
        flipped = (augment(images, only_flip, generator(2)) != images).flatten(1).any(dim=1)
        assert 20 <= int(flipped.sum()) <= 44
        assert torch.equal(augment(images[:, :1], DATASETS["digits"], generator(2)), images[:, :1])


def write_idx(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


def write_mnist(root: Path, train: int, test: int) -> Path:
    folder = root / "MNIST" / "raw"
    for prefix, count in (("train", train), ("t10k", test)):
        labels = np.arange(count) % 10
        write_idx(folder / f"{prefix}-images-idx3-ubyte", np.tile(labels[:, None, None] + 1, (1, 28, 28)))
        write_idx(folder / f"{prefix}-labels-idx1-ubyte", labels)
    return folder


class TestFiles:
    def test_mnist_files_are_read_and_padded(self, tmp_path: Path) -> None:
        write_mnist(tmp_path, 60_000, 10_000)
        data = load_dataset("mnist", tmp_path)
        assert data.train.images.shape == (55_000, 1, 32, 32)
        assert data.validation.labels.bincount().tolist() == [500] * 10
        image, label = data.test.images[7, 0], int(data.test.labels[7])
        assert torch.equal(image[2:30, 2:30], torch.full((28, 28), label + 1, dtype=torch.uint8))
        assert not image[:2].any()
        assert not image[:, 30:].any()

    def test_too_few_images_are_refused(self, tmp_path: Path) -> None:
        write_mnist(tmp_path, 100, 100)
        with pytest.raises(DatasetCorruptError, match="60000"):
            load_dataset("mnist", tmp_path)

    @pytest.mark.parametrize("content", [b"", b"\x00\x00\x08\x03", b"not an idx file at all"])
    def test_a_damaged_idx_file_is_refused(self, content: bytes, tmp_path: Path) -> None:
        folder = write_mnist(tmp_path, 20, 20)
        (folder / "train-images-idx3-ubyte").write_bytes(content)
        with pytest.raises(DatasetCorruptError, match="mnist"):
            load_dataset("mnist", tmp_path)

    def test_a_truncated_idx_file_is_refused(self, tmp_path: Path) -> None:
        path = write_mnist(tmp_path, 20, 20) / "train-images-idx3-ubyte"
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(DatasetCorruptError, match="MNIST"):
            load_dataset("mnist", tmp_path)

    @pytest.mark.parametrize("damage", ["truncated", "other"])
    def test_a_damaged_cifar_batch_is_refused(self, damage: str, tmp_path: Path) -> None:
        folder = tmp_path / "cifar-10-batches-py"
        folder.mkdir()
        content = pickle.dumps({"data": np.zeros((3, 3072), np.uint8), "labels": [0, 1, 2]})
        for name in (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"):
            (folder / name).write_bytes(content[:-20] if damage == "truncated" else content)
        with pytest.raises(DatasetCorruptError, match="cifar10"):
            load_dataset("cifar10", tmp_path)

    def test_a_damaged_svhn_file_is_refused(self, tmp_path: Path) -> None:
        for name in ("train_32x32.mat", "test_32x32.mat"):
            (tmp_path / name).write_bytes(b"MATLAB 5.0 MAT-file")
        with pytest.raises(DatasetCorruptError, match="svhn"):
            load_dataset("svhn", tmp_path)

    @pytest.mark.parametrize("name", [name for name, info in DATASETS.items() if info.needs_data_root])
    def test_missing_files_are_named_with_the_setting(self, name: str, tmp_path: Path) -> None:
        for root in (None, tmp_path, tmp_path / "absent"):
            with pytest.raises(DataRootMissingError, match="CLEAVE_DATA_ROOT"):
                load_dataset(name, root)

    def test_an_unknown_name_is_refused_with_the_known_ones(self) -> None:
        with pytest.raises(UnknownDatasetError, match="fashion_mnist"):
            load_dataset("imagenet", None)


@pytest.mark.slow
@pytest.mark.parametrize(
    "info", [info for info in DATASETS.values() if info.needs_data_root], ids=lambda i: i.name
)
def test_the_real_files_have_the_catalogues_sizes_and_statistics(info: DatasetInfo) -> None:
    root = os.environ.get("CLEAVE_DATA_ROOT")
    if root is None:
        pytest.skip("CLEAVE_DATA_ROOT is not set")
    try:
        data = load_dataset(info.name, Path(root))
    except DataRootMissingError as missing:
        pytest.skip(str(missing))
    assert (len(data.train), len(data.validation), len(data.test)) == (info.train, info.validation, info.test)
    if info.name != "svhn":  # the published code normalises SVHN by ImageNet's figures
        pixels = data.train.images.double() / 255
        assert pixels.mean(dim=(0, 2, 3)).tolist() == pytest.approx(info.mean, abs=6e-4)
        assert pixels.std(dim=(0, 2, 3)).tolist() == pytest.approx(info.std, abs=6e-4)
