"""The local store: content-addressed, immutable, safe against its own callers."""

import hashlib
from pathlib import Path

import pytest

from service.platform.errors import ArtifactMissingError
from service.platform.storage import LocalStore


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def staged(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "staged"
    path.write_bytes(content)
    return path


def test_ingest_consumes_the_file_and_names_it_by_content(store: LocalStore, tmp_path: Path) -> None:
    source = staged(tmp_path, b"weights")
    blob = store.ingest(source)
    assert (blob.sha256, blob.size) == (hashlib.sha256(b"weights").hexdigest(), 7)
    assert not source.exists()
    assert store.path(blob.sha256).read_bytes() == b"weights"
    assert store.path(blob.sha256).stat().st_mode & 0o222 == 0


def test_the_same_content_is_stored_once(store: LocalStore, tmp_path: Path) -> None:
    first, second = (store.ingest(staged(tmp_path, b"same")) for _ in range(2))
    assert first == second
    assert len([p for p in (tmp_path / "store").rglob("*") if p.is_file()]) == 1


def test_ranges(store: LocalStore, tmp_path: Path) -> None:
    digest = store.ingest(staged(tmp_path, b"0123456789")).sha256
    assert b"".join(store.open_range(digest, 3, 4)) == b"3456"
    assert b"".join(store.open_range(digest, 8, 100)) == b"89"
    assert b"".join(store.open_range(digest, 0, 0)) == b""


@pytest.mark.parametrize("key", ["0" * 64, "../../etc/passwd", "A" * 64, "", "0" * 63 + "/"])
def test_a_key_that_is_not_there_or_not_a_digest(store: LocalStore, key: str) -> None:
    with pytest.raises(ArtifactMissingError):
        store.path(key)
    with pytest.raises(ArtifactMissingError):
        store.open_range(key, 0, 1)
