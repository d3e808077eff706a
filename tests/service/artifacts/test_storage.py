"""The store, in a folder and in a bucket: content-addressed, immutable, safe against its own callers."""

import hashlib
import os
import threading
import time
from pathlib import Path

import pytest

from service.platform.errors import ArtifactMissingError, UnavailableError
from service.platform.local_store import LocalStore
from service.platform.settings import Settings
from service.platform.storage import CHUNK_BYTES, ArtifactStore, FoundBlob, open_store
from tests.fixtures.s3 import S3Server

DAY_S = 86_400.0


def staged(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "staged"
    path.write_bytes(content)
    return path


def in_store(store: ArtifactStore) -> dict[str, FoundBlob]:
    return {blob.sha256: blob for blob in store.blobs()}


class TestBothStores:
    def test_ingest_consumes_the_file_and_names_it_by_content(
        self, store: ArtifactStore, tmp_path: Path
    ) -> None:
        source = staged(tmp_path, b"weights")
        blob = store.ingest(source)
        assert (blob.sha256, blob.size) == (hashlib.sha256(b"weights").hexdigest(), 7)
        assert not source.exists()
        assert store.path(blob.sha256).read_bytes() == b"weights"
        assert store.path(blob.sha256).stat().st_mode & 0o222 == 0

    def test_the_same_content_is_stored_once(self, store: ArtifactStore, tmp_path: Path) -> None:
        first, second = (store.ingest(staged(tmp_path, b"same")) for _ in range(2))
        assert first == second
        (found,) = store.blobs()
        assert (found.sha256, found.size) == (first.sha256, 4)

    def test_ranges(self, store: ArtifactStore, tmp_path: Path) -> None:
        digest = store.ingest(staged(tmp_path, b"0123456789")).sha256
        assert b"".join(store.open_range(digest, 3, 4)) == b"3456"
        assert b"".join(store.open_range(digest, 8, 100)) == b"89"
        assert b"".join(store.open_range(digest, 0, 0)) == b""

    def test_many_chunks(self, store: ArtifactStore, tmp_path: Path) -> None:
        content = os.urandom(3 * CHUNK_BYTES + 5)
        digest = store.ingest(staged(tmp_path, content)).sha256
        assert b"".join(store.open_range(digest, 1, len(content) - 2)) == content[1:-1]

    @pytest.mark.parametrize("key", ["0" * 64, "../../etc/passwd", "A" * 64, "", "0" * 63 + "/"])
    def test_a_key_that_is_not_there_or_not_a_digest(self, store: ArtifactStore, key: str) -> None:
        with pytest.raises(ArtifactMissingError):
            store.path(key)
        for length in (0, 1):
            with pytest.raises(ArtifactMissingError):
                store.open_range(key, 0, length)

    def test_listing_tells_age_and_removal_respects_it(self, store: ArtifactStore, tmp_path: Path) -> None:
        kept, gone = (store.ingest(staged(tmp_path, content)).sha256 for content in (b"kept", b"gone"))
        assert all(-2 < blob.age_s < DAY_S for blob in in_store(store).values())
        assert not store.remove(kept, DAY_S)
        assert store.exists(kept)
        assert store.remove(gone, -DAY_S)
        assert not store.exists(gone)
        assert not store.remove(gone, -DAY_S)
        assert set(in_store(store)) == {kept}
        with pytest.raises(ArtifactMissingError):
            store.path(gone)

    def test_it_is_writable(self, store: ArtifactStore) -> None:
        store.check_writable()
        with pytest.raises(OSError, match="MiB free"):
            store.check_writable(1 << 60)
        assert list(store.blobs()) == []


class TestFolder:
    def test_storing_again_renews_the_age(self, tmp_path: Path) -> None:
        store = LocalStore(tmp_path / "store")
        source = staged(tmp_path, b"old")
        os.utime(source, (1, 1))
        digest = store.ingest(source).sha256
        os.utime(store.path(digest), (1, 1))
        assert in_store(store)[digest].age_s > DAY_S
        os.utime(staged(tmp_path, b"old"), (1, 1))
        store.ingest(source)
        assert in_store(store)[digest].age_s < DAY_S

    def test_what_is_stored_again_at_the_moment_of_its_removal_stays(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = LocalStore(tmp_path / "store")
        digest = store.ingest(staged(tmp_path, b"wanted again")).sha256
        os.utime(store.path(digest), (1, 1))
        again = threading.Thread(target=lambda: store.ingest(staged(tmp_path, b"wanted again")))

        def interfered(path: Path) -> None:
            monkeypatch.undo()
            again.start()
            again.join(0.3)  # the file's age was looked at already: storing has to wait
            path.unlink()

        monkeypatch.setattr(Path, "unlink", interfered)
        assert store.remove(digest, DAY_S)
        again.join(10)
        assert store.path(digest).read_bytes() == b"wanted again"

    def test_what_interrupted_calls_left_goes_but_no_blob(self, tmp_path: Path) -> None:
        store = LocalStore(tmp_path / "store")
        digest = store.ingest(staged(tmp_path, b"content")).sha256
        incoming = tmp_path / "store" / "incoming"
        (incoming / "half").write_bytes(b"half a fi")
        store.tidy(DAY_S)
        assert len(list(incoming.iterdir())) == 1
        store.tidy(-1)
        assert list(incoming.iterdir()) == []
        assert store.path(digest).read_bytes() == b"content"


class TestBucket:
    @pytest.fixture
    def settings(self, s3: S3Server, tmp_path: Path) -> Settings:
        return Settings(
            data_dir=tmp_path / "home", s3_cache_mib=0, **s3.bucket(f"b{time.time_ns()}")  # type: ignore[arg-type]
        )  # fmt: skip

    def test_damage_in_the_bucket_is_noticed_before_a_worker_reads_it(
        self, settings: Settings, s3: S3Server, tmp_path: Path
    ) -> None:
        digest = open_store(settings).ingest(staged(tmp_path, b"true content")).sha256
        (settings.artifact_root / "cache" / digest).unlink()
        (stored,) = s3.folder.glob(f"*/some/prefix/blobs/{digest[:2]}/{digest}")
        stored.write_bytes(b"TRUE content")
        with pytest.raises(ArtifactMissingError, match="another digest"):
            open_store(settings).path(digest)
        assert not (settings.artifact_root / "cache" / digest).exists()

    def test_the_cache_is_bounded_but_keeps_what_is_in_use(self, settings: Settings, tmp_path: Path) -> None:
        store = open_store(settings)
        old = store.path(store.ingest(staged(tmp_path, b"old")).sha256)
        new = store.path(store.ingest(staged(tmp_path, b"new")).sha256)
        assert old.is_file()
        os.utime(old, (1, 1))
        newer = store.path(store.ingest(staged(tmp_path, b"newer")).sha256)
        assert (old.exists(), new.exists(), newer.exists()) == (False, True, True)
        assert store.path(old.name).read_bytes() == b"old"  # fetched again

    def test_a_bucket_that_is_not_there(self, settings: Settings, tmp_path: Path) -> None:
        absent = settings.model_copy(update={"artifact_url": "s3://no-such-bucket"})
        with pytest.raises(OSError, match="bucket refuses: NoSuchBucket"):
            open_store(absent).check_writable()
        with pytest.raises(UnavailableError):
            open_store(absent).ingest(staged(tmp_path, b"x"))
        assert list((settings.artifact_root / "incoming").iterdir()) == []
