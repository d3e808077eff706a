"""The artifact store: immutable blobs named by the sha256 of their content.

A blob is visible to callers only through a database row that names it, so storing comes first and publishing
is a matter of the database.
"""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from service.platform.errors import ArtifactDamagedError, ArtifactMissingError, StoreUnsupportedError
from service.platform.settings import Settings

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class StoredBlob:
    """A blob that is in the store; `size` in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True)
class FoundBlob(StoredBlob):
    """A blob met while going through a store, and the seconds since it was last stored."""

    age_s: float


class ArtifactStore(Protocol):
    """What the service asks of a store. Callers never name a path: the key is the digest of the content."""

    def __hash__(self) -> int: ...

    def ingest(self, path: Path) -> StoredBlob:
        """Take a finished local file into the store; the source is consumed; what is there is renewed."""

    def path(self, sha256: str) -> Path:
        """A local, readable file with this content. Raises ArtifactMissingError."""

    def forget_copy(self, sha256: str) -> None:
        """Let go of a local copy that is damaged, where `path` keeps copies: it is fetched again."""

    def open_range(self, sha256: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """`length` bytes from `start`, or all, in chunks. Raises ArtifactMissingError before the first."""

    def link(self, sha256: str, filename: str, media_type: str) -> str | None:
        """A URL at which the content can be read without us for a while; None where we serve it ourselves."""

    def exists(self, sha256: str) -> bool:
        """Whether the content is stored."""

    def blobs(self) -> Iterator[FoundBlob]:
        """Everything stored, in no order. What is stored meanwhile may be left out."""

    def remove(self, sha256: str, min_age_s: float) -> bool:
        """Remove a blob unless it was stored more recently than that. Returns whether it did."""

    def tidy(self, min_age_s: float) -> None:
        """Clear what interrupted calls left that long ago."""

    def check_writable(self, min_free_bytes: int = 0) -> None:
        """Raises OSError (ENOSPC where space is what lacks) when nothing more can be stored."""


def is_key(name: str) -> bool:
    """Whether this can be the digest of a blob."""
    return len(name) == 64 and set(name) <= set("0123456789abcdef")


def checked_key(sha256: str) -> str:
    """The digest, or ArtifactMissingError for what cannot be one."""
    if not is_key(sha256):
        raise ArtifactMissingError("A storage key is 64 lower-case hexadecimal digits.")
    return sha256


def missing(sha256: str) -> ArtifactMissingError:
    return ArtifactMissingError(f"The content {sha256} is on record but not in the artifact store.")


def damaged(sha256: str) -> ArtifactDamagedError:
    return ArtifactDamagedError(
        f"The content {sha256} is damaged: what is in the artifact store has another digest. "
        "`cleave verify` finds all such files; restore them from a backup."
    )


def open_store(settings: Settings) -> ArtifactStore:
    """The store the settings name. Raises StoreUnsupportedError."""
    if settings.stores_in_s3:
        try:
            from service.platform.s3 import S3Store  # boto3 takes half a second, and is an extra
        except ImportError as error:
            raise StoreUnsupportedError(
                "CLEAVE_ARTIFACT_URL names S3, which needs boto3: pip install 'cleave[s3]'"
            ) from error
        return S3Store(settings)
    from service.platform.local_store import LocalStore

    return LocalStore(settings.artifact_root)


def move(source: Path, target: Path) -> None:
    """Rename, or copy and delete."""
    try:
        source.replace(target)
    except OSError:  # another file system: rename cannot cross it
        shutil.copyfile(source, target)
        source.unlink()


def hash_and_sync(path: Path) -> StoredBlob:
    """The digest and size of a file whose bytes are on the disk by then."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
        os.fsync(file.fileno())
    return StoredBlob(sha256=digest.hexdigest(), size=size)


def check_free(folder: Path, min_free_bytes: int) -> None:
    """Raises OSError (ENOSPC)."""
    free = shutil.disk_usage(folder).free
    if free < min_free_bytes:
        raise OSError(errno.ENOSPC, f"{free >> 20} MiB free, {min_free_bytes >> 20} are wanted")
