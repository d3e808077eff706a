"""The frame around each request: its id, its log line, and the refusal of parameters nobody reads."""

import re
import time
from contextlib import AbstractContextManager

import structlog
from fastapi import Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query
from fastapi.routing import APIRoute
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.platform import links, tracing
from service.platform.errors import UnknownParameterError
from service.platform.ids import new_id

_ID_FORM = re.compile(r"[A-Za-z0-9._-]{1,100}\Z")
_QUIET = frozenset({"/livez", "/readyz"})

_log = structlog.get_logger(__name__)


class RequestFrame:
    """Gives each request an id (`X-Request-ID`; the caller's own, if it has a sane form) and one log line."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _ID_FORM.match(given) else new_id("req")
        scope.setdefault("state", {})["request_id"] = request_id
        begun, status = time.perf_counter(), 500
        links.begin()

        async def tag(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                headers.update(scope["state"].get("headers", {}))
                links.add_next(scope, message)
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id), _span(scope):
            try:
                await self._app(scope, receive, tag)
            finally:
                _write_line(scope, status, time.perf_counter() - begun)
                if tracing.is_on():
                    _describe(scope, status, request_id)


def _route(scope: Scope) -> str:
    """The route's template, not the path: paths hold identifiers and whatever a scanner sends."""
    return getattr(scope.get("route"), "path", "unmatched")


def _write_line(scope: Scope, status: int, seconds: float) -> None:
    write = _log.debug if scope["path"] in _QUIET else _log.info
    write(
        "request",
        method=scope["method"],
        route=_route(scope),
        status=status,
        milliseconds=round(seconds * 1000, 1),
    )


def _span(scope: Scope) -> AbstractContextManager[None]:
    """Part of the caller's trace, if it names one."""
    if not tracing.is_on() or scope["path"] in _QUIET:
        return tracing.NO_SPAN
    return tracing.span(scope["method"], kind="server", parent=Headers(scope=scope).get("traceparent", ""))


def _describe(scope: Scope, status: int, request_id: str) -> None:
    tracing.rename(f"{scope['method']} {_route(scope)}")
    tracing.note(
        {
            "http.request.method": scope["method"],
            "http.route": _route(scope),
            "http.response.status_code": status,
            "cleave.request.id": request_id,
        }
    )
    if status >= 500:
        tracing.fail(str(status))


async def refuse_unknown_query(request: Request) -> None:
    """A misspelt filter must not answer as if it had matched everything."""
    route = request.scope.get("route")
    if not isinstance(route, APIRoute):
        return
    known = {p.alias for p in get_flat_params(route.dependant) if isinstance(p.field_info, Query)}
    unknown = sorted(set(request.query_params) - known)
    if unknown:
        errors = [
            {
                "pointer": f"/{n[:100]}",
                "code": "unknown_parameter",
                "message": "not known here",
                "in": "query",
            }
            for n in unknown
        ]
        known_text = ", ".join(sorted(known)) or "none"
        raise UnknownParameterError(f"Known parameters here: {known_text}.", errors=errors)
