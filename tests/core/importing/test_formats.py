"""Every format that is let in: the images that went in come out, under their class names."""

import gzip
import io
import pickle
import struct
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from core.datasets import ImageData
from tests.core.importing.runs import imported
from tests.fixtures.uploads import png, zipped

RANDOM = np.random.default_rng(7)


def coloured(count: int, size: int = 8, channels: int = 3) -> Any:
    return RANDOM.integers(0, 256, (count, size, size, channels), dtype=np.uint8)


def contents(data: ImageData) -> dict[str, set[bytes]]:
    """Class name -> its images as (C, H, W) bytes, whatever split they are in."""
    found: dict[str, set[bytes]] = {name: set() for name in data.info.class_names}
    for split in (data.train, data.validation, data.test):
        for image, label in zip(split.images, split.labels.tolist(), strict=True):
            found[data.info.class_names[label]].add(image.numpy().tobytes())
    return found


def channels_first(images: Any) -> set[bytes]:
    return {np.ascontiguousarray(image.transpose(2, 0, 1)).tobytes() for image in images}


def tarred(files: dict[str, bytes], mode: str = "w:gz") -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode=mode) as opened:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            opened.addfile(member, io.BytesIO(content))
    return archive.getvalue()


def saved(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def npy(array: Any) -> bytes:
    np.save(file := io.BytesIO(), array)
    return file.getvalue()


def idx(array: Any) -> Any:
    return (
        struct.pack(f">I{array.ndim}I", 0x0800 | array.ndim, *array.shape) + array.astype(np.uint8).tobytes()
    )


@pytest.mark.parametrize("packed", [zipped, tarred, lambda files: tarred(files, "w:xz")])
def test_a_folder_for_each_class(packed: Any, tmp_path: Path) -> None:
    pictures = {"10": coloured(6), "9": coloured(5)}
    files = {f"mine/{n}/deep/{i}.png": png(p) for n, images in pictures.items() for i, p in enumerate(images)}
    files |= {"mine/README.txt": b"words", "mine/.DS_Store": b"", "__MACOSX/9/._1.png": b"x"}
    found = imported(packed(files), tmp_path / "in", part_size=700)
    data, report = found.data, found.result.report
    assert data.info.class_names == ("9", "10")  # by value, not by letter
    assert contents(data) == {name: channels_first(images) for name, images in pictures.items()}
    assert report.per_class == {
        "9": {"train": 3, "validation": 1, "test": 1},
        "10": {"train": 4, "validation": 1, "test": 1},
    }
    assert (report.format, report.splits, report.ignored, report.sizes) == (
        "image_folder",
        "seeded",
        3,
        {"8x8": 11},
    )


def test_given_splits_stay_and_a_missing_one_is_held_out_of_train(tmp_path: Path) -> None:
    pictures = {(s, n): coloured(10) for s in ("train", "test") for n in ("cat", "dog")}
    files = {f"{s}/{n}/{i}.png": png(p) for (s, n), images in pictures.items() for i, p in enumerate(images)}
    found = imported(zipped(files), tmp_path / "in", validation_fraction=0.2)
    data = found.data
    assert found.result.report.splits == "completed"
    assert (len(data.train), len(data.validation), len(data.test)) == (16, 4, 20)
    tested = {image.numpy().tobytes() for image in data.test.images}
    assert tested == channels_first([*pictures["test", "cat"], *pictures["test", "dog"]])


def test_digest_statistics_and_order_are_those_of_the_tensors(tmp_path: Path) -> None:
    x, y = coloured(300, channels=1)[..., 0], np.arange(300) // 100
    found = imported(saved(x=x, y=y), tmp_path / "one")
    data = found.data
    again = ImageData.of(data.info, data.train, data.validation, data.test)
    assert found.result.digest == data.digest == again.digest
    pixels = data.train.images.double() / 255
    assert data.info.mean == pytest.approx([pixels.mean().item()], abs=1e-6)
    assert data.info.std == pytest.approx([pixels.std(correction=0).item()], abs=1e-6)
    assert len(set(data.train.labels[:20].tolist())) == 3  # shuffled: the first N are of every class
    same = imported(saved(x=x, y=y), tmp_path / "same")
    other = imported(saved(x=x, y=y), tmp_path / "other", split_seed=1)
    assert same.result.digest == found.result.digest != other.result.digest


@pytest.mark.parametrize("form", ["uint8", "unit", "levels", "channels_first"])
def test_npz_in_every_form(form: str, tmp_path: Path) -> None:
    images, names = coloured(30), np.array(["dog", "cat"])
    y = np.arange(30) % 2
    x: Any = {
        "uint8": images,
        "unit": (images / 255).astype(np.float32),
        "levels": images.astype(np.int64),
        "channels_first": images.transpose(0, 3, 1, 2),
    }[form]
    found = imported(saved(x=np.ascontiguousarray(x), y=y[:, None], class_names=names), tmp_path / "in")
    assert contents(found.data) == {"dog": channels_first(images[::2]), "cat": channels_first(images[1::2])}


def test_npz_with_splits_and_labels_that_are_texts(tmp_path: Path) -> None:
    x, y = coloured(40, channels=1)[..., 0], np.array(["b", "a"] * 20)
    content = saved(x_train=x[:30], y_train=y[:30], x_test=x[30:], y_test=y[30:])
    data = imported(content, tmp_path / "in").data
    assert data.info.class_names == ("a", "b")
    assert {image.numpy().tobytes() for image in data.test.images} == {image.tobytes() for image in x[30:]}


def test_idx_files_as_mnist_has_them(tmp_path: Path) -> None:
    x, y = coloured(50, channels=1)[..., 0], np.arange(50) % 2
    files = {
        "train-images-idx3-ubyte.gz": gzip.compress(idx(x[:40])),
        "train-labels-idx1-ubyte.gz": gzip.compress(idx(y[:40])),
        "t10k-images-idx3-ubyte": idx(x[40:]),
        "t10k-labels-idx1-ubyte": idx(y[40:]),
    }
    found = imported(tarred(files), tmp_path / "in", class_names=["even", "odd"])
    data = found.data
    assert (found.result.report.format, data.info.class_names) == ("idx", ("even", "odd"))
    assert torch.equal(data.test.labels.bincount(), torch.tensor([5, 5]))
    assert contents(data)["odd"] == {image.tobytes() for image in x[1::2]}


@pytest.mark.parametrize("protocol", [2, 5])
def test_cifar_as_its_makers_pickled_it(protocol: int, tmp_path: Path) -> None:
    images, labels = coloured(60, 32), [number % 2 for number in range(60)]
    flat = images.transpose(0, 3, 1, 2).reshape(60, -1)

    def batch(part: slice) -> bytes:
        return pickle.dumps({b"data": flat[part], b"labels": labels[part]}, protocol)

    files = {
        "cifar-10-batches-py/data_batch_1": batch(slice(0, 40)),
        "cifar-10-batches-py/test_batch": batch(slice(40, 60)),
        "cifar-10-batches-py/batches.meta": pickle.dumps({"label_names": ["plane", "car"]}, protocol),
    }
    found = imported(tarred(files), tmp_path / "in")
    data = found.data
    assert (found.result.report.format, len(data.test), data.info.crop_padding) == ("cifar", 20, 4)
    assert contents(data) == {"plane": channels_first(images[::2]), "car": channels_first(images[1::2])}


def test_images_of_all_sizes_are_cut_and_resized(tmp_path: Path) -> None:
    files = {f"{n}/{i}.png": png(coloured(1, 20 + i)[0]) for n in ("a", "b") for i in range(6)}
    found = imported(zipped(files), tmp_path / "in", image_size=16, channels=1)
    assert found.data.info.input_shape == (1, 16, 16)
    assert len(found.result.report.sizes) == 6


def test_pictures_that_lie_are_turned_before_their_sizes_are_compared(tmp_path: Path) -> None:
    files = {}
    for number in range(12):
        # A camera held upright stores half of its pictures like this.
        lying = number % 2 == 0
        picture = Image.fromarray(coloured(1, 16)[0]).resize((16, 12) if lying else (12, 16))
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = 6 if lying else 1
        picture.save(file := io.BytesIO(), "JPEG", exif=exif)
        files[f"{'cat' if number < 6 else 'dog'}/{number}.jpg"] = file.getvalue()
    found = imported(zipped(files), tmp_path / "in").result
    assert found.info.input_shape == (3, 16, 12)
    assert (found.report.sizes, found.report.corrupt) == ({"12x16": 12}, 0)
