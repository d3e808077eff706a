"""Headers and pickles that say what cannot be: the caller's fault, whatever their readers raise."""

import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from tests.core.importing.runs import refused
from tests.core.importing.test_formats import coloured, idx, npy
from tests.fixtures.uploads import zipped


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '|u1', 'fortran_order': False, 'shape': (8, 8, 8)",
        "{'descr': '|u1',",
        "'''",
        "  a\n b",
        "{'descr': (), 'fortran_order': False, 'shape': (8, 8, 8)}",
        "{'descr': 'i4,(', 'fortran_order': False, 'shape': (8, 8, 8)}",
    ],
)
@pytest.mark.parametrize("key", ["x", "y", "class_names"])
def test_headers_of_arrays_that_make_no_sense(key: str, header: str, tmp_path: Path) -> None:
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + bytes(512)
    arrays = {"x": npy(np.zeros((8, 8, 8), np.uint8)), "y": npy(np.arange(8) % 2), key: content}
    files = {f"{name}.npy": array for name, array in arrays.items()}
    assert refused(zipped(files), tmp_path / "in").code == "dataset_invalid"


@pytest.mark.parametrize("dtype", ["|u1", "<f4"])
@pytest.mark.parametrize(
    "shape", [(8, 0, 8), (8, -8, -8), (8, -1, 8), (8, 2**32, 2**32), (8, 2**63, 8), (8, 2**20, 2**20)]
)
def test_arrays_of_images_of_no_possible_size(shape: tuple[int, ...], dtype: str, tmp_path: Path) -> None:
    header = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode()
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(8 * 64 * 4)
    files = {"x.npy": content, "y.npy": npy(np.arange(8) % 2)}
    report = refused(zipped(files), tmp_path / "in", image_size=8)
    assert (report.code, "pixels" in str(report)) == ("dataset_invalid", True)


@pytest.mark.parametrize("sides", [(0xFFFFFFFF, 0xFFFFFFFF), (1 << 20, 1 << 20)])
def test_idx_images_of_no_possible_size(sides: tuple[int, int], tmp_path: Path) -> None:
    images = struct.pack(">4I", 0x0803, 4, *sides) + bytes(100)
    files = {"train-images-idx3-ubyte": images, "train-labels-idx1-ubyte": idx(np.arange(4) % 2)}
    assert refused(zipped(files), tmp_path / "in", image_size=8).code == "dataset_invalid"


@pytest.mark.parametrize(
    "batch",
    [
        pickle.dumps({b"data": np.zeros((4, 3072), np.uint8), b"labels": [0, 1, 0, 2**63]}, 2),
        b"\x80\x04\x95" + b"\xff" * 8,
        b"\x80\x02cnumpy\ndtype\nX\x04\x00\x00\x00i4,(\x85R.",
        b"\x80\x02X\x01\x00\x00\x00\xff.",
    ],
    ids=["label of 64 bits", "frame of 64 bits", "dtype cut off", "no text"],
)
def test_pickles_that_are_no_batches(batch: bytes, tmp_path: Path) -> None:
    assert refused(zipped({"data_batch_1": batch}), tmp_path / "in").code == "dataset_invalid"


def test_no_two_classes_of_cifar_have_one_name(tmp_path: Path) -> None:
    batch = {b"data": coloured(20, 32).reshape(20, 3072), b"labels": [number % 2 for number in range(20)]}
    files = {"data_batch_1": pickle.dumps(batch, 2), "batches.meta": pickle.dumps({"label_names": ["a"] * 2})}
    report = refused(zipped(files), tmp_path / "in")
    assert (report.code, "'a'" in str(report)) == ("dataset_invalid", True)
