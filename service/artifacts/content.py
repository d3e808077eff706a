"""Downloads by the book (RFC 9110): strong ETag, conditions, one byte range, digest; streamed from the store.

Starlette's own range parser had a quadratic-time flaw (CVE-2025-62727); one range is all that resuming needs.
"""

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from fastapi.responses import RedirectResponse, Response, StreamingResponse
from starlette.datastructures import Headers

from service.artifacts.tables import Artifact
from service.platform import store_threads
from service.platform.errors import PreconditionFailedError, RangeNotSatisfiableError
from service.platform.filenames import content_disposition
from service.platform.storage import ArtifactStore

_ONE_RANGE = re.compile(r"bytes=[ \t]*(\d{0,19})-(\d{0,19})[ \t]*\Z", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Span:
    """The bytes to send: `length` of them from `start`."""

    start: int
    length: int


@dataclass(frozen=True)
class Representation:
    """What a download offers. `read(start, length)` gives its bytes; `etag` is without the quotes.

    `link` gives another address that serves the same, or None.
    """

    etag: str
    size: int
    filename: str
    media_type: str
    read: Callable[[int, int], Iterator[bytes]]
    headers: Mapping[str, str]
    link: Callable[[], str | None] = lambda: None


def of_artifact(artifact: Artifact, store: ArtifactStore) -> Representation:
    """An artifact's content, which never changes under its id."""
    digest = base64.b64encode(bytes.fromhex(artifact.sha256)).decode()
    return Representation(
        etag=artifact.sha256,
        size=artifact.size,
        filename=artifact.filename,
        media_type=artifact.media_type,
        read=partial(store.open_range, artifact.sha256),
        headers={
            "Repr-Digest": f"sha-256=:{digest}:",
            # A shared cache must not keep one tenant's file for another.
            "Cache-Control": "private, max-age=31536000, immutable, no-transform",
        },
        link=partial(store.link, artifact.sha256, artifact.filename, artifact.media_type),
    )


def respond(offered: Representation, request_headers: Headers, method: str) -> Response:
    """The answer to GET or HEAD of a download.

    Raises:
        PreconditionFailedError: If-Match names other content.
        RangeNotSatisfiableError: the range begins behind the end.
        ArtifactMissingError: the row exists but the blob does not.
    """
    etag = f'"{offered.etag}"'
    headers = _headers(offered, etag)
    if (wanted := _list(request_headers, "if-match")) and not _names(wanted, etag, weak=False):
        raise PreconditionFailedError("The content has another digest.")
    if (known := _list(request_headers, "if-none-match")) and _names(known, etag, weak=True):
        return Response(status_code=304, headers={k: headers[k] for k in ("ETag", "Cache-Control", "Vary")})
    if method == "GET" and (elsewhere := offered.link()):
        # The bucket answers ranges itself; a cache must not keep an address that is soon void.
        return RedirectResponse(elsewhere, status_code=302, headers={"Cache-Control": "no-store"})
    # HEAD has no ranges (RFC 9110, 14.2).
    span = _requested_span(request_headers, etag, offered.size) if method == "GET" else None
    status = 200 if span is None else 206
    if span is not None:
        last = span.start + span.length - 1
        headers["Content-Range"] = f"bytes {span.start}-{last}/{offered.size}"
    span = span or Span(0, offered.size)
    headers["Content-Length"] = str(span.length)
    chunks = offered.read(span.start, span.length)
    if method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=offered.media_type)
    body = store_threads.iterate(chunks)
    return StreamingResponse(body, status_code=status, headers=headers, media_type=offered.media_type)


def _headers(offered: Representation, etag: str) -> dict[str, str]:
    return {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Content-Disposition": content_disposition(offered.filename),
        "Vary": "Authorization, X-API-Key",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox",
        **offered.headers,
    }


def _list(headers: Headers, name: str) -> str:
    """A list that may come in several lines (RFC 9110, 5.3)."""
    return ", ".join(headers.getlist(name))


def _names(condition: str, etag: str, *, weak: bool) -> bool:
    """Whether an entity-tag list has `etag`; weak comparison ignores the `W/` mark."""
    tags = [tag.strip() for tag in condition.split(",")]
    if weak:
        tags = [tag.removeprefix("W/") for tag in tags]
    return "*" in tags or etag in tags


def _requested_span(headers: Headers, etag: str, size: int) -> Span | None:
    """The range to send, or None for the whole: so for several ranges, another unit and a stale If-Range."""
    match = _ONE_RANGE.match(headers.get("range", ""))
    if match is None or headers.get("if-range", etag).strip() != etag or match[1] == match[2] == "":
        return None
    if match[1] == "":
        start, last = max(size - int(match[2]), 0), size - 1
    else:
        start, last = int(match[1]), min(int(match[2] or size - 1), size - 1)
        if match[2] and int(match[2]) < start:
            return None  # not a valid range: RFC 9110 says to ignore it
    if start >= size or last < start:
        error = RangeNotSatisfiableError(f"The content has {size} bytes.")
        error.headers["Content-Range"] = f"bytes */{size}"
        raise error
    return Span(start, last - start + 1)
