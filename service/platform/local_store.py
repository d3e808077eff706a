"""The artifact store in a folder."""

import fcntl
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from service.platform.storage import (
    CHUNK_BYTES,
    FoundBlob,
    StoredBlob,
    check_free,
    checked_key,
    hash_and_sync,
    is_key,
    missing,
    move,
)

_PROBE_BYTES = 4096


class LocalStore:
    """Blobs in a folder: `blobs/ab/<sha256>`. A blob appears by rename, so readers never see half of one."""

    def __init__(self, root: Path) -> None:
        self._blobs = root / "blobs"
        self._incoming = root / "incoming"

    def ingest(self, path: Path) -> StoredBlob:
        self._incoming.mkdir(parents=True, exist_ok=True)
        private = self._incoming / uuid.uuid4().hex
        # Moved first: what is hashed below can no longer be swapped by the process that wrote it.
        move(path, private)
        blob = hash_and_sync(private)
        target = self._locate(blob.sha256)
        target.parent.mkdir(parents=True, exist_ok=True)
        private.chmod(0o444)
        with _alone_in(target.parent):
            os.utime(private)  # its age counts from now, however long ago it was written
            private.replace(target)
        _sync_folder(target.parent)
        return blob

    def path(self, sha256: str) -> Path:
        located = self._locate(sha256)
        if not located.is_file():
            raise missing(sha256)
        return located

    def forget_copy(self, sha256: str) -> None:
        """There are no copies."""

    def open_range(self, sha256: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        path = self.path(sha256)
        return _read_range(path, start, path.stat().st_size if length is None else length)

    def link(self, sha256: str, filename: str, media_type: str) -> None:  # noqa: ARG002 - the protocol's
        return None

    def exists(self, sha256: str) -> bool:
        return self._locate(sha256).is_file()

    def blobs(self) -> Iterator[FoundBlob]:
        now = time.time()
        for path in self._blobs.glob("??/*"):
            if not is_key(path.name):  # not ours
                continue
            with suppress(FileNotFoundError):  # removed meanwhile
                status = path.stat()
                yield FoundBlob(path.name, status.st_size, now - status.st_mtime)

    def remove(self, sha256: str, min_age_s: float) -> bool:
        located = self._locate(sha256)
        # Alone, or what was stored anew between the look at its age and its removal would be removed.
        with suppress(FileNotFoundError), _alone_in(located.parent):
            if _age(located) >= min_age_s:
                located.unlink()
                return True
        return False

    def tidy(self, min_age_s: float) -> None:
        for path in self._incoming.glob("*"):
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_ctime >= min_age_s:
                    path.unlink()

    def check_writable(self, min_free_bytes: int = 0) -> None:
        self._incoming.mkdir(parents=True, exist_ok=True)
        check_free(self._incoming, min_free_bytes)
        probe = self._incoming / f"probe-{uuid.uuid4().hex}"
        try:
            # With content: a full file system still takes empty files.
            probe.write_bytes(bytes(_PROBE_BYTES))
        finally:
            probe.unlink(missing_ok=True)

    def _locate(self, sha256: str) -> Path:
        return self._blobs / checked_key(sha256)[:2] / sha256


def _age(path: Path) -> float:
    return time.time() - path.stat().st_mtime


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Nobody else, in any process, stores into the folder or removes from it meanwhile."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # some file systems refuse fsync on a folder; the blob itself is already on disk
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _read_range(path: Path, start: int, length: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        left = length
        while left > 0 and (chunk := file.read(min(CHUNK_BYTES, left))):
            left -= len(chunk)
            yield chunk
