"""Downloads by the book (RFC 9110): strong ETag, conditions, one byte range, digest; streamed from the store.

Starlette's own range parser had a quadratic-time flaw (CVE-2025-62727); one range is all that resuming needs.
"""

import base64
import re
from dataclasses import dataclass
from typing import Literal

from fastapi.responses import RedirectResponse, Response, StreamingResponse
from starlette.datastructures import Headers

from service.artifacts.tables import Artifact
from service.platform.errors import PreconditionFailedError, RangeNotSatisfiableError
from service.platform.filenames import content_disposition
from service.platform.storage import ArtifactStore

_ONE_RANGE = re.compile(r"bytes=[ \t]*(\d{0,19})-(\d{0,19})[ \t]*\Z", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Span:
    """The bytes to send: `length` of them from `start`."""

    start: int
    length: int


def respond(
    artifact: Artifact,
    store: ArtifactStore,
    request_headers: Headers,
    method: Literal["GET", "HEAD"],
) -> Response:
    """The answer to GET or HEAD of an artifact's content.

    Raises:
        PreconditionFailedError: If-Match names other content.
        RangeNotSatisfiableError: the range begins behind the end.
        ArtifactMissingError: the row exists but the blob does not.
    """
    etag = f'"{artifact.sha256}"'
    headers = _headers(artifact, etag)
    if (wanted := _list(request_headers, "if-match")) and not _names(wanted, etag, weak=False):
        raise PreconditionFailedError("The content has another digest.")
    if (known := _list(request_headers, "if-none-match")) and _names(known, etag, weak=True):
        return Response(status_code=304, headers={k: headers[k] for k in ("ETag", "Cache-Control", "Vary")})
    if method == "GET" and (elsewhere := store.link(artifact.sha256, artifact.filename, artifact.media_type)):
        # The bucket answers ranges itself; a cache must not keep an address that is soon void.
        return RedirectResponse(elsewhere, status_code=302, headers={"Cache-Control": "no-store"})
    # HEAD has no ranges (RFC 9110, 14.2).
    span = _requested_span(request_headers, etag, artifact.size) if method == "GET" else None
    status = 200 if span is None else 206
    if span is not None:
        last = span.start + span.length - 1
        headers["Content-Range"] = f"bytes {span.start}-{last}/{artifact.size}"
    span = span or Span(0, artifact.size)
    headers["Content-Length"] = str(span.length)
    chunks = store.open_range(artifact.sha256, span.start, span.length)
    if method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=artifact.media_type)
    return StreamingResponse(chunks, status_code=status, headers=headers, media_type=artifact.media_type)


def _headers(artifact: Artifact, etag: str) -> dict[str, str]:
    digest = base64.b64encode(bytes.fromhex(artifact.sha256)).decode()
    return {
        "ETag": etag,
        "Repr-Digest": f"sha-256=:{digest}:",
        "Accept-Ranges": "bytes",
        "Content-Disposition": content_disposition(artifact.filename),
        # The content of an id never changes; a shared cache must not keep one tenant's file for another.
        "Cache-Control": "private, max-age=31536000, immutable, no-transform",
        "Vary": "Authorization, X-API-Key",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox",
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
