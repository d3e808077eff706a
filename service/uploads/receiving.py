"""The body of a part: streamed to a file, hashed on the way, never whole in memory."""

import base64
import binascii
import errno
import hashlib
import logging
import re
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, Header, Request, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from service.platform import store_threads
from service.platform.database import Database
from service.platform.dependencies import CallerDep, DatabaseDep, SettingsDep, StoreDep
from service.platform.errors import (
    ContentDigestError,
    MalformedRequestError,
    PartSizeError,
    StorageFullError,
    UnavailableError,
)
from service.platform.holding import Lock, changing, unlocked
from service.platform.openapi import problems
from service.platform.settings import Settings
from service.platform.storage import ArtifactStore, StoredBlob
from service.uploads import service as uploads
from service.uploads.tables import Upload

PART_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
PART_ANSWERS: dict[int | str, dict[str, Any]] = {
    204: {"description": "It is there; the ETag is its sha256."},
    **problems(400, 409, 413, 507),
}
ContentDigest = Annotated[
    str | None,
    Header(description="`sha-256=:<base64>:` (RFC 9530). With it, bytes damaged on the way are refused."),
]
_LOG = logging.getLogger(__name__)
_SHA256 = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/=]*):")
_BUFFER_BYTES = 1 << 20
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Receiver:
    """Whose part it is, and where it goes; a FastAPI dependency."""

    tenant_id: str
    database: Database
    settings: Settings
    store: ArtifactStore


async def get_receiver(
    caller: CallerDep, database: DatabaseDep, settings: SettingsDep, store: StoreDep
) -> Receiver:
    return Receiver(caller.tenant_id, database, settings, store)


ReceiverDep = Annotated[Receiver, Depends(get_receiver)]


async def take_part(
    request: Request,
    into: Receiver,
    find: Callable[[Session, Lock], Upload],
    number: int,
) -> Response:
    """Take the body as this part of the upload that `find` returns; answer with its sha256 as ETag.

    Raises what `find`, `uploads.expected_size` and `receive` raise.
    """

    def expected() -> int:
        with into.database.read(into.tenant_id) as session:
            return uploads.expected_size(find(session, unlocked), number)

    def record(blob: StoredBlob) -> None:
        # Locked: it must not be completed, and perhaps read already, when this part takes another's place.
        with into.database.write(into.tenant_id) as session:
            uploads.record_part(session, find(session, changing), number, blob)

    size = await run_in_threadpool(expected)
    blob = await receive(request, into.settings, into.store, size)
    # Where this refuses, what is stored stays until it is collected: the same bytes may just have been stored
    # as a part of another upload, whose row is not written yet, and nothing tells the two apart.
    await run_in_threadpool(record, blob)
    return Response(status_code=204, headers={"ETag": f'"{blob.sha256}"'})


async def receive(request: Request, settings: Settings, store: ArtifactStore, size: int) -> StoredBlob:
    """Take the body, which must have `size` bytes and the digest it announces, into the store.

    Raises:
        PartSizeError: another number of bytes.
        ContentDigestError: other bytes, or a Content-Digest that says nothing about sha-256.
        StorageFullError: no room.
    """
    announced = content_digest(request.headers.get("content-digest"))
    declared = request.headers.get("content-length")
    if declared is not None and declared != str(size):
        raise PartSizeError(f"This part must have {size} bytes, not {declared[:20]}.")
    with _room_told(), _scratch(settings) as path:
        digest = await _write(request, path, size)
        if announced is not None and digest != announced:
            raise ContentDigestError(
                "The bytes that arrived are not those of Content-Digest; send them again."
            )
        return await store_threads.run(partial(_ingest, settings, store, path))


def content_digest(header: str | None) -> str | None:
    """The sha256 of RFC 9530's Content-Digest, in hexadecimal; None without the header.

    Raises ContentDigestError.
    """
    if header is None:
        return None
    found = _SHA256.search(header)
    try:
        digest = base64.b64decode(found[1], validate=True).hex() if found else ""
    except binascii.Error:
        digest = ""
    if len(digest) != 64:
        raise ContentDigestError("Content-Digest must be `sha-256=:<base64 of the digest>:`.")
    return digest


async def _write(request: Request, path: Path, size: int) -> str:
    """Returns the sha256 of what was written."""
    digest, received = hashlib.sha256(), 0
    with path.open("wb") as file:

        def take(chunk: bytes) -> None:
            digest.update(chunk)
            file.write(chunk)

        async for chunk in _chunks(request):
            received += len(chunk)
            if received > size:
                raise PartSizeError(f"This part must have {size} bytes; more arrived.")
            await run_in_threadpool(take, chunk)
    if received < size:
        raise PartSizeError(f"This part must have {size} bytes; {received} arrived.")
    return digest.hexdigest()


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    """The body in pieces that are worth a thread's time."""
    held = bytearray()
    try:
        async for piece in request.stream():
            held += piece
            if len(held) >= _BUFFER_BYTES:
                yield bytes(held)
                held.clear()
    except ClientDisconnect as error:
        raise MalformedRequestError("The body ended before its declared length.") from error
    if held:
        yield bytes(held)


def _ingest(settings: Settings, store: ArtifactStore, path: Path) -> StoredBlob:
    store.check_writable(settings.min_free_mib << 20)
    return store.ingest(path)


@contextmanager
def _scratch(settings: Settings) -> Iterator[Path]:
    settings.upload_root.mkdir(parents=True, exist_ok=True)
    path = settings.upload_root / f"{uuid.uuid4().hex}.part"
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def _room_told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM:
            _LOG.warning("a part cannot be stored: %s", error)
            raise UnavailableError("The service cannot store this part now; send it again.") from error
        raise StorageFullError("The service has no room for this part; free some, then go on.") from error
