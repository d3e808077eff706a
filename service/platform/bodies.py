"""Reads JSON bodies within limits before anything else sees them (pure ASGI)."""

import json
import math
import re
from typing import Any, NoReturn

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.platform.errors import (
    BodyTooLargeError,
    HeadersTooLargeError,
    MalformedRequestError,
    ServiceError,
    UnsupportedMediaTypeError,
)
from service.platform.problems import problem_response

MAX_BODY_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_HEADER_BYTES = 32 << 10
# What other methods bring is read to its end and not looked at.
_WITH_BODY = frozenset({"POST", "PUT", "PATCH", "DELETE"})
# The parts of uploads are no JSON and not held in memory: their endpoint streams them and knows their size.
_STREAMED = re.compile(r"/v1/(datasets/[^/]+/)?uploads/[^/]+/parts/[^/]+\Z")


class BodyGuard:
    """Refuses bodies too large, cut short, not JSON, or JSON no database can hold (NaN, NUL, surrogates)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            _check_target(scope)
            if _STREAMED.match(scope["path"]):
                await self._app(scope, receive, send)
                return
            body = await _read(scope, receive)
            if body and scope["method"] in _WITH_BODY:
                _check_json(scope, body)
        except ServiceError as error:
            await problem_response(error, scope)(scope, receive, send)
            return
        await self._app(scope, _Replay(body, receive), send)


class _Replay:
    """Hands the body over once, then whatever the server has to say (the disconnect)."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._message: Message | None = {"type": "http.request", "body": body, "more_body": False}
        self._receive = receive

    async def __call__(self) -> Message:
        message, self._message = self._message, None
        return message or await self._receive()


def _check_target(scope: Scope) -> None:
    size = len(scope.get("raw_path") or b"") + len(scope.get("query_string", b""))
    size += sum(len(name) + len(value) for name, value in scope["headers"])
    if size > MAX_HEADER_BYTES:
        raise HeadersTooLargeError(f"The URL and all headers together may have {MAX_HEADER_BYTES} bytes.")
    if "\x00" in scope["path"] or b"%00" in scope.get("query_string", b""):
        raise MalformedRequestError("A NUL character is not possible in a path or query.")


async def _read(scope: Scope, receive: Receive) -> bytes:
    declared = Headers(scope=scope).get("content-length", "0")
    if declared.isdecimal() and int(declared[:20]) > MAX_BODY_BYTES:
        raise BodyTooLargeError(f"A body may have {MAX_BODY_BYTES} bytes.")
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise MalformedRequestError("The body ended before its declared length.")
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLargeError(f"A body may have {MAX_BODY_BYTES} bytes.")
        if not message.get("more_body", False):
            return bytes(body)


def _check_json(scope: Scope, body: bytes) -> None:
    kind = Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise UnsupportedMediaTypeError("Send the body as application/json.")
    try:
        document = json.loads(body, parse_constant=_refuse_constant, object_pairs_hook=_named_once)
        _check_value(document, depth=0)
    except (ValueError, RecursionError) as error:
        # A decoder's message names the place; only the position is repeated, never the content.
        place = (
            f" at line {error.lineno}, column {error.colno}"
            if isinstance(error, json.JSONDecodeError)
            else ""
        )
        raise MalformedRequestError(
            f"The body is not a JSON document this service can hold{place}."
        ) from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of a name given twice one reader takes the first value and another the last."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice")
    return found


def _check_value(value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ValueError("too deep")
    if isinstance(value, str):
        value.encode()  # a lone surrogate raises UnicodeEncodeError, which is a ValueError
        if "\x00" in value:
            raise ValueError("NUL")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("beyond every float")  # 1e999: a number in JSON, and Infinity once it is read
    elif isinstance(value, list):
        for item in value:
            _check_value(item, depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_value(key, depth + 1)
            _check_value(item, depth + 1)
