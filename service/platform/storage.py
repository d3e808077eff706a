"""The artifact store: immutable blobs named by the sha256 of their content."""

import errno
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from service.platform.errors import ArtifactMissingError
from service.platform.settings import Settings

CHUNK_BYTES = 1 << 18
_PROBE_BYTES = 4096


@dataclass(frozen=True)
class StoredBlob:
    """A blob that is in the store; `size` in bytes."""

    sha256: str
    size: int


class ArtifactStore(Protocol):
    """What the service asks of a store. Callers never name a path: the key is the digest of the content."""

    def ingest(self, path: Path) -> StoredBlob:
        """Take a finished local file into the store; the source is consumed."""

    def path(self, sha256: str) -> Path:
        """A local, readable file with this content. Raises ArtifactMissingError."""

    def open_range(self, sha256: str, start: int, length: int) -> Iterator[bytes]:
        """`length` bytes from `start`, in chunks. Raises ArtifactMissingError before the first chunk."""

    def check_writable(self, min_free_bytes: int = 0) -> None:
        """Raises OSError (ENOSPC where space is what lacks) when nothing more can be stored."""


class LocalStore:
    """Blobs in a folder: `blobs/ab/<sha256>`. A blob appears by rename, so readers never see half of one."""

    def __init__(self, root: Path) -> None:
        self._blobs = root / "blobs"
        self._incoming = root / "incoming"

    def ingest(self, path: Path) -> StoredBlob:
        self._incoming.mkdir(parents=True, exist_ok=True)
        private = self._incoming / uuid.uuid4().hex
        # Moved first: what is hashed below can no longer be swapped by the process that wrote it.
        _move(path, private)
        blob = _hash_and_sync(private)
        target = self._locate(blob.sha256)
        target.parent.mkdir(parents=True, exist_ok=True)
        private.chmod(0o444)
        private.replace(target)
        _sync_folder(target.parent)
        return blob

    def path(self, sha256: str) -> Path:
        located = self._locate(sha256)
        if not located.is_file():
            raise ArtifactMissingError(f"The content {sha256} is on record but not in the artifact store.")
        return located

    def open_range(self, sha256: str, start: int, length: int) -> Iterator[bytes]:
        return _read_range(self.path(sha256), start, length)

    def check_writable(self, min_free_bytes: int = 0) -> None:
        self._incoming.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self._incoming).free
        if free < min_free_bytes:
            raise OSError(errno.ENOSPC, f"{free >> 20} MiB free, {min_free_bytes >> 20} are wanted")
        probe = self._incoming / f"probe-{uuid.uuid4().hex}"
        try:
            # With content: a full file system still takes empty files.
            probe.write_bytes(bytes(_PROBE_BYTES))
        finally:
            probe.unlink(missing_ok=True)

    def _locate(self, sha256: str) -> Path:
        if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
            raise ArtifactMissingError("A storage key is 64 lower-case hexadecimal digits.")
        return self._blobs / sha256[:2] / sha256


def open_store(settings: Settings) -> ArtifactStore:
    """The store the settings name."""
    return LocalStore(settings.artifact_root)


def _move(source: Path, target: Path) -> None:
    try:
        source.replace(target)
    except OSError:  # another file system: rename cannot cross it
        shutil.copyfile(source, target)
        source.unlink()


def _hash_and_sync(path: Path) -> StoredBlob:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
        os.fsync(file.fileno())
    return StoredBlob(sha256=digest.hexdigest(), size=size)


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
