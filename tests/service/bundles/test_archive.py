"""The archive that is never written: readable by others, equal each time, the same bytes in any parts."""

import io
import subprocess
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.bundles.archive import Member, StoredZip, bytes_reader
from service.platform.errors import BundleTooLargeError


def archive(contents: dict[str, bytes]) -> StoredZip:
    return StoredZip(
        [Member(name, len(c), zlib.crc32(c), bytes_reader(c)) for name, c in contents.items()]
    )  # fmt: skip


def whole(made: StoredZip) -> bytes:
    return b"".join(made.read(0, made.size))


NAMES = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=20)


@given(st.dictionaries(NAMES, st.binary(max_size=300), max_size=5), st.data())
def test_others_read_it_and_any_range_is_the_same_bytes(
    contents: dict[str, bytes], data: st.DataObject
) -> None:
    made = archive(contents)
    content = whole(made)
    assert len(content) == made.size
    with zipfile.ZipFile(io.BytesIO(content)) as opened:
        assert opened.testzip() is None
        assert {name: opened.read(name) for name in opened.namelist()} == contents
        assert opened.namelist() == list(contents)
        assert {info.compress_type for info in opened.infolist()} <= {zipfile.ZIP_STORED}
        assert {info.date_time for info in opened.infolist()} <= {(1980, 1, 1, 0, 0, 0)}
    start = data.draw(st.integers(0, made.size))
    length = data.draw(st.integers(0, made.size - start))
    assert b"".join(made.read(start, length)) == content[start : start + length]


def test_a_strict_reader_takes_it_too(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(whole(archive({"folder/a.bin": b"a" * 1000, "folder/ü.txt": b""})))
    bsdtar = subprocess.run(["python3", "-m", "zipfile", "-t", str(path)], capture_output=True, check=True)
    assert b"Done testing" in bsdtar.stdout


def test_too_large_is_told_before_anything_is_read() -> None:
    def never(start: int, length: int) -> None:
        raise AssertionError

    members = [Member(str(n), 3 << 30, 0, never) for n in range(2)]  # type: ignore[arg-type]
    with pytest.raises(BundleTooLargeError):
        StoredZip(members)
