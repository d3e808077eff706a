"""What hostile or broken uploads meet: a clear refusal, nothing run, nothing left behind, bounded memory."""

import gzip
import io
import os
import pickle
import stat
import struct
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ArchiveUnsafeError
from core.importing import limits
from core.importing.archives import safe_parts
from core.reports import FailureReport, ResultReport
from tests.core.importing.runs import imported, limited, refused
from tests.core.importing.test_formats import coloured, idx, npy, saved, tarred
from tests.fixtures.uploads import digit_pictures, png, zipped

GOOD = digit_pictures(["cat", "dog"], 20)
MB = 1 << 20


class Canary:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("field", ["data", "labels", "batch", "meta"])
def test_no_pickle_runs_in_cifar(field: str, tmp_path: Path) -> None:
    bad = Canary(tmp_path / "canary")
    batch: Any = {b"data": np.zeros((4, 3072), np.uint8), b"labels": [0, 1, 0, 1]}
    batch = bad if field == "batch" else {**batch, field.encode(): bad}
    meta = {"label_names": bad if field == "meta" else ["a", "b"]}
    files = {"data_batch_1": pickle.dumps(batch, 2), "batches.meta": pickle.dumps(meta, 2)}
    report = refused(zipped(files), tmp_path / "in")
    assert (report.code, "mkdir" in str(report)) == ("archive_unsafe", True)
    assert not bad.path.exists()
    pickle.loads(files["data_batch_1" if field != "meta" else "batches.meta"])
    assert bad.path.exists(), "the canary itself does not sing"


@pytest.mark.parametrize("key", ["x", "y", "class_names"])
def test_no_pickle_runs_in_npz(key: str, tmp_path: Path) -> None:
    bad = np.array([Canary(tmp_path / "canary")], dtype=object)
    arrays = {"x": coloured(4), "y": np.arange(4) % 2, "class_names": np.array(["a", "b"]), key: bad}
    file = io.BytesIO()
    np.savez(file, **arrays)
    assert refused(file.getvalue(), tmp_path / "in").code == "dataset_invalid"
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize(
    "name",
    [
        "../up.png",
        "/etc/x.png",
        "a/../../x.png",
        "C:/x.png",
        "a\\..\\x.png",
        "a/\x01.png",
        "a/" * 30 + "x.png",
    ],
)
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_names_that_climb(name: str, pack: Callable[[dict[str, bytes]], bytes], tmp_path: Path) -> None:
    report = refused(pack({**GOOD, name: png(coloured(1)[0])}), tmp_path / "a" / "in")
    assert report.code == "archive_unsafe"
    assert [path.name for path in tmp_path.rglob("*.png")] == []


@given(st.text(max_size=60))
def test_a_name_is_refused_or_stays_inside(name: str) -> None:
    try:
        parts = safe_parts(name)
    except ArchiveUnsafeError:
        return
    root = Path("/root")
    assert root.joinpath(*parts).resolve().is_relative_to(root)
    assert not {"..", ""} & set(parts)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_tar(kind: bytes, tmp_path: Path) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo("cat/1.png")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    assert refused(file.getvalue(), tmp_path / "in").code == "archive_unsafe"


def test_links_and_doubles_in_zip(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("cat/1.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    cases: list[list[tuple[Any, bytes]]] = [
        [(link, b"/etc/passwd")],
        [("cat/1.png", b"a"), ("cat/1.png", b"b")],
    ]
    for number, entries in enumerate(cases):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive, pytest.MonkeyPatch.context() as patch:
            patch.setattr("warnings.warn", lambda *_, **__: None)
            for entry, content in entries:
                archive.writestr(entry, content)
        assert refused(file.getvalue(), tmp_path / str(number)).code == "archive_unsafe"


def zip_bomb() -> bytes:
    return zipped({f"{name}/1.png": bytes(10 * MB) for name in ("cat", "dog", "owl")}, zipfile.ZIP_DEFLATED)


def tar_bomb() -> bytes:
    return tarred({"cat/notes.txt": bytes(30 * MB)})  # a file that nobody wants


def npz_bomb() -> bytes:
    return saved(x=np.zeros((30, 1024, 1024), np.uint8), y=np.arange(30) % 2)


def idx_bomb() -> bytes:
    files = {"images-idx3-ubyte": np.zeros((30, 1024, 1024)), "labels-idx1-ubyte": np.arange(30) % 2}
    return zipped({f"{name}.gz": gzip.compress(idx(array)) for name, array in files.items()})


@pytest.mark.parametrize("bomb", [zip_bomb, tar_bomb, npz_bomb, idx_bomb])
def test_decompression_bombs(
    bomb: Callable[[], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "_FREE_BYTES", 8 * MB)  # which a small file may take in any case
    content = bomb()
    assert len(content) < MB // 10
    assert refused(content, tmp_path / "in", image_size=8).code == "import_too_large"


def giant_png(side: int) -> bytes:
    """Valid, and a few hundred bytes: what it says of itself is large."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_broken_images_are_named_and_left_out_and_too_many_refused(tmp_path: Path) -> None:
    many = digit_pictures(["cat", "dog"], 60)
    broken = {
        "cat/giant.png": giant_png(65_000),
        "cat/cut.png": png(coloured(1)[0])[:-30],
        "dog/words.png": b"no image",
        "dog/drawing.png": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    }
    found = imported(zipped({**many, **broken}), tmp_path / "some", image_size=8)
    report = found.result.report
    assert (report.samples, report.corrupt) == (120, 4)
    reasons = {file.name: file.reason for file in report.corrupt_files}
    assert set(reasons) == set(broken)
    assert reasons["cat/giant.png"] == "more than 50 million pixels"
    assert any("cannot be read" in warning for warning in report.warnings)
    few = refused(zipped({**GOOD, **broken}), tmp_path / "many", image_size=8)
    assert (few.code, "4 of 44 images" in str(few)) == ("dataset_corrupt", True)


@pytest.mark.parametrize("keep", [0.5, 0.9, 0.999])
@pytest.mark.parametrize("pack", [zipped, tarred, lambda _: saved(x=coloured(300), y=np.arange(300) % 2)])
def test_cut_files(keep: float, pack: Callable[[dict[str, bytes]], bytes], tmp_path: Path) -> None:
    content = pack(GOOD)
    report = refused(content[: int(len(content) * keep)], tmp_path / "in")
    assert report.code in {"dataset_corrupt", "upload_format_unknown"}


BAD_ARRAYS: dict[str, dict[str, Any]] = {
    "NaN": {"x": np.full((8, 8, 8), np.nan, np.float32)},
    "infinite": {"x": np.full((8, 8, 8), np.inf)},
    "too large": {"x": np.full((8, 8, 8), 1000.0)},
    "flat": {"x": np.zeros((8, 64), np.uint8)},
    "fewer labels": {"y": np.arange(7) % 2},
    "one class": {"y": np.zeros(8, np.int64)},
    "negative label": {"y": np.arange(8) % 2 - 1},
    "fractional label": {"y": np.arange(8) / 2},
    "rare class": {"y": np.array([0, 0, 0, 0, 0, 0, 0, 1])},
    "complex": {"x": np.zeros((8, 8, 8), np.complex64)},
    "no text": {"y": np.array([b"a", b"\xff"] * 4)},
}


@pytest.mark.parametrize("what", BAD_ARRAYS)
def test_arrays_no_classifier_can_be_made_of(what: str, tmp_path: Path) -> None:
    good = {"x": np.zeros((8, 8, 8), np.uint8), "y": np.arange(8) % 2}
    assert refused(saved(**{**good, **BAD_ARRAYS[what]}), tmp_path / "in").code == "dataset_invalid"


def test_labels_beyond_the_class_names(tmp_path: Path) -> None:
    content = saved(x=np.zeros((9, 8, 8), np.uint8), y=np.arange(9) % 3)
    report = refused(content, tmp_path / "in", class_names=["a", "b"])
    assert (report.code, "0 to 1" in str(report)) == ("dataset_invalid", True)


def test_sizes_that_differ_ask_for_a_size(tmp_path: Path) -> None:
    files = {**GOOD, "cat/big.png": png(coloured(1, 40)[0])}
    assert refused(zipped(files), tmp_path / "in").code == "image_size_needed"


@pytest.mark.parametrize("count", [2**31, 2**32 - 1])
def test_headers_that_promise_more_than_there_is(count: int, tmp_path: Path) -> None:
    images = idx(coloured(4, channels=1)[..., 0])
    labels = struct.pack(">II", 0x0801, count) + bytes(100)
    files = {"train-images-idx3-ubyte": images, "train-labels-idx1-ubyte": labels}
    assert refused(zipped(files), tmp_path / "in").code in {"dataset_invalid", "dataset_corrupt"}


def test_what_is_kept_is_limited(tmp_path: Path) -> None:
    report = refused(zipped(GOOD), tmp_path / "in", max_bytes=8 * 8 * 30)
    assert report.code == "import_too_large"


MEASURED = """
import resource, subprocess, sys
subprocess.run([sys.executable, "-m", "core.importing"])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
"""


def test_memory_does_not_grow_with_the_dataset(tmp_path: Path) -> None:
    x = np.random.default_rng(1).integers(0, 256, (1250, 224, 224, 3), np.uint8)
    file = io.BytesIO()
    np.savez(file, x=x, y=np.arange(1250) % 2)
    report, told = limited(file.getvalue(), tmp_path / "in", (sys.executable, "-c", MEASURED))
    assert isinstance(report, ResultReport), (report, told)
    assert x.nbytes > 175 * MB
    assert int(told) * 1024 < 130 * MB


def test_the_kernel_limits_what_a_header_makes_us_ask_for(tmp_path: Path) -> None:
    size = limits.MEMORY_BYTES // 8
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<i8", "fortran_order": False, "shape": (size,)})
    with zipfile.ZipFile(file := io.BytesIO(), "w") as archive:
        archive.writestr("x.npy", npy(np.zeros((4, 8, 8), np.uint8)))
        archive.writestr("y.npy", header.getvalue() + bytes(64))
    report, told = limited(file.getvalue(), tmp_path / "in")
    assert isinstance(report, FailureReport)
    assert (report.code, report.cause, told) == ("import_too_large", "user", "")


def _patched(at: bytes, offset: int, value: bytes, old: bytes = b"", new: bytes = b"") -> bytes:
    """A good zip with some bytes of its first record of this kind changed, and behind it `old` by `new`."""
    content = zipped(GOOD)
    place = content.index(at)
    record = content[place : place + offset] + value + content[place + offset + len(value) :]
    return content[:place] + (record.replace(old, new, 1) if old else record)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"PK\x05\x06" + bytes(18), "dataset_invalid"),
        (_patched(b"PK\x01\x02", 6, b"\x6f\x00"), "dataset_corrupt"),
        (_patched(b"PK\x01\x02", 8, b"\x20\x00"), "dataset_corrupt"),
        (_patched(b"PK\x01\x02", 9, b"\x08", b"cat/", b"\xff\xfe\xfd/"), "dataset_corrupt"),
        (_patched(b"PK\x05\x06", 16, b"\x00\x00\x00\x0f"), "dataset_corrupt"),
    ],
    ids=["no files", "version 11.1", "patched data", "name that is no UTF-8", "directory far behind"],
)
def test_odd_zip_files_are_refused_and_no_fault_of_ours(content: bytes, code: str, tmp_path: Path) -> None:
    assert refused(content, tmp_path / "in").code == code


@pytest.mark.parametrize("name", ["", "x" * 201, "a\x1b[31m", "a\nb"])
def test_names_of_classes_that_nobody_could_ask_for(name: str, tmp_path: Path) -> None:
    file = io.BytesIO()
    np.savez(file, x=coloured(20), y=np.arange(20) % 2, class_names=np.array([name, "dog"]))
    assert refused(file.getvalue(), tmp_path / "in").code == "dataset_invalid"
