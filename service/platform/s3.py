"""The artifact store in a bucket: Amazon S3, or anything that speaks its protocol.

Credentials and region come from AWS's own environment variables, files and roles, as boto3 finds them.
"""

import base64
import hashlib
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import boto3
from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from service.platform.errors import ArtifactMissingError, UnavailableError
from service.platform.filenames import content_disposition
from service.platform.settings import Settings
from service.platform.storage import (
    CHUNK_BYTES,
    FoundBlob,
    StoredBlob,
    check_free,
    checked_key,
    damaged,
    hash_and_sync,
    is_key,
    missing,
    move,
)

_LINK_S = 300
# What one PUT may carry; a larger file goes up in parts.
_ONE_PUT_BYTES = 4 << 30
# A file this recently handed out may still be read.
_IN_USE_S = 3600
_ABSENT = frozenset({"404", "NoSuchKey", "NotFound"})
# boto3 asks a bucket that redirects where it is; one that redirects this, too, is asked until Python refuses.
_FAULTS = (ClientError, BotoCoreError, Boto3Error, RecursionError)


class S3Store:
    """Blobs as objects: `<prefix>/blobs/ab/<sha256>`. What a worker reads stays in a bounded cache."""

    def __init__(self, settings: Settings) -> None:
        parsed = urlsplit(settings.artifact_url or "")
        self._bucket, prefix = parsed.netloc, parsed.path.strip("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._scratch = settings.artifact_root / "incoming"
        self._cache = settings.artifact_root / "cache"
        self._cache_bytes = settings.s3_cache_mib << 20
        self._redirect = settings.s3_redirect
        endpoint = settings.s3_endpoint_url
        config = Config(
            signature_version="s3v4",
            s3={"addressing_style": "path" if endpoint else "auto"},
            retries={"mode": "standard", "max_attempts": 4},
            connect_timeout=5,
            read_timeout=30,
            max_pool_connections=50,
            # Some servers send the whole object's checksum with a range, and boto3 then refuses the range.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        self._client: Any = boto3.client("s3", endpoint_url=endpoint, config=config)

    def ingest(self, path: Path) -> StoredBlob:
        self._scratch.mkdir(parents=True, exist_ok=True)
        private = self._scratch / uuid.uuid4().hex
        try:
            move(path, private)
            blob = hash_and_sync(private)
            with _told(blob.sha256):
                self._put(private, blob)
            self._keep(private, blob.sha256)
        finally:
            private.unlink(missing_ok=True)
        return blob

    def path(self, sha256: str) -> Path:
        cached = self._cache / checked_key(sha256)
        with suppress(FileNotFoundError):
            os.utime(cached)
            return cached
        self._scratch.mkdir(parents=True, exist_ok=True)
        private = self._scratch / uuid.uuid4().hex
        try:
            if not (self._fetched(sha256, private) or self._fetched(sha256, private)):
                raise damaged(sha256)
            self._keep(private, sha256)
        finally:
            private.unlink(missing_ok=True)
        return cached

    def forget_copy(self, sha256: str) -> None:
        (self._cache / checked_key(sha256)).unlink(missing_ok=True)

    def open_range(self, sha256: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        if length is None:
            return self._read(sha256, **({"Range": f"bytes={start}-"} if start else {}))
        if length <= 0:
            if not self.exists(sha256):
                raise missing(sha256)
            return iter(())
        return self._read(sha256, Range=f"bytes={start}-{start + length - 1}")

    def link(self, sha256: str, filename: str, media_type: str) -> str | None:
        if not self._redirect:
            return None
        params = {
            "Bucket": self._bucket,
            "Key": self._key(sha256),
            "ResponseContentDisposition": content_disposition(filename),
            "ResponseContentType": media_type,
        }
        url = self._client.generate_presigned_url("get_object", Params=params, ExpiresIn=_LINK_S)
        return cast(str, url)

    def exists(self, sha256: str) -> bool:
        return self._age(sha256) is not None

    def blobs(self) -> Iterator[FoundBlob]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=f"{self._prefix}blobs/"
        )
        with _told():
            for page in pages:
                for item in page.get("Contents", []):
                    name = item["Key"].rpartition("/")[2]
                    if is_key(name):
                        yield FoundBlob(name, item["Size"], _seconds_since(item["LastModified"]))

    def remove(self, sha256: str, min_age_s: float) -> bool:
        # Asked again right before: S3 cannot delete on the condition of an age. What is stored anew in
        # the moment between these two requests is lost.
        age_s = self._age(sha256)
        if age_s is None or age_s < min_age_s:
            return False
        with _told(sha256):
            self._client.delete_object(Bucket=self._bucket, Key=self._key(sha256))
        self.forget_copy(sha256)
        return True

    def tidy(self, min_age_s: float) -> None:
        for path in self._scratch.glob("*"):
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime >= min_age_s:
                    path.unlink()

    def check_writable(self, min_free_bytes: int = 0) -> None:
        self._scratch.mkdir(parents=True, exist_ok=True)
        check_free(self._scratch, min_free_bytes)
        try:
            self._client.put_object(Bucket=self._bucket, Key=f"{self._prefix}probe", Body=b"writable")
        except _FAULTS as error:
            raise OSError(f"the bucket refuses: {_reason(error)}") from error

    def _put(self, path: Path, blob: StoredBlob) -> None:
        where = {"Bucket": self._bucket, "Key": self._key(blob.sha256)}
        if blob.size > _ONE_PUT_BYTES:
            self._client.upload_file(str(path), **where)
            return
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).digest()
            file.seek(0)
            # Every S3 server checks this one; a damaged upload is refused.
            answer = self._client.put_object(**where, Body=file, ContentMD5=base64.b64encode(digest).decode())
        if "ETag" not in answer:  # something in between that says yes to everything
            raise UnavailableError("The artifact store does not answer (no ETag).")

    def _fetched(self, sha256: str, path: Path) -> bool:
        """Whether what arrived is whole: what the network damages is worth a second try."""
        with path.open("wb") as file:
            file.writelines(self._read(sha256))
        return hash_and_sync(path).sha256 == sha256

    def _read(self, sha256: str, **options: str) -> Iterator[bytes]:
        with _told(sha256):
            answer = self._client.get_object(Bucket=self._bucket, Key=self._key(sha256), **options)
        return _chunks(answer["Body"])

    def _age(self, sha256: str) -> float | None:
        """Seconds since it was stored; None for what is not there."""
        try:
            with _told(sha256):
                head = self._client.head_object(Bucket=self._bucket, Key=self._key(sha256))
        except ArtifactMissingError:
            return None
        if "LastModified" not in head:
            raise UnavailableError("The artifact store does not answer (no Last-Modified).")
        return _seconds_since(head["LastModified"])

    def _keep(self, private: Path, sha256: str) -> None:
        """Put a verified file into the cache, and take out what was used longest ago when it is too large."""
        self._cache.mkdir(parents=True, exist_ok=True)
        private.chmod(0o444)
        os.utime(private)
        private.replace(self._cache / sha256)
        total = 0
        for used_at, size, path in sorted(_sizes(self._cache), reverse=True):
            total += size
            if total > self._cache_bytes and time.time() - used_at > _IN_USE_S:
                path.unlink(missing_ok=True)

    def _key(self, sha256: str) -> str:
        return f"{self._prefix}blobs/{checked_key(sha256)[:2]}/{sha256}"


def _chunks(body: Any) -> Iterator[bytes]:
    """Raises UnavailableError where the connection breaks in the middle."""
    with _told():
        yield from body.iter_chunks(CHUNK_BYTES)


@contextmanager
def _told(sha256: str = "") -> Iterator[None]:
    """Turn boto3's errors into ours. Raises ArtifactMissingError, UnavailableError."""
    try:
        yield
    except _FAULTS as error:
        if isinstance(error, ClientError) and error.response["Error"]["Code"] in _ABSENT and sha256:
            raise missing(sha256) from error
        raise UnavailableError(f"The artifact store does not answer ({_reason(error)}).") from error


def _reason(error: Exception) -> str:
    """The store's code for it, without names or keys."""
    if isinstance(error, RecursionError):
        return "it redirects for ever"
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else type(error).__name__


def _sizes(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """When each file was used, and its size; other processes may remove some meanwhile."""
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            found = path.stat()
            yield found.st_mtime, found.st_size, path


def _seconds_since(moment: datetime) -> float:
    return (datetime.now(UTC) - moment).total_seconds()
