"""Reads that are asked for again are answered without being routed, taken apart and checked again.

What the framework makes of a path and a query is always the same: a function and its arguments. It is kept.
Who asks is looked at each time, and so is the database.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from fastapi import Depends, Request, Response
from fastapi.security.utils import get_authorization_scheme_param
from sqlalchemy.orm import Session
from starlette.datastructures import Headers, URLPath
from starlette.routing import BaseRoute, Match, NoMatchFound
from starlette.types import Receive, Scope, Send

from service.platform.answers import Answer
from service.platform.database import Database
from service.platform.dependencies import Reader, admit
from service.platform.kept import Kept

_KEPT_BYTES = 8 << 20
# What is kept beside path and query.
_OVERHEAD_BYTES = 1000

Read = Callable[[Session], Answer]


@dataclass(frozen=True, slots=True)
class _Known:
    """What answers a request, and the route that found it."""

    read: Read
    route: BaseRoute
    weight: int


class Repeats(BaseRoute):
    """A route, to be the first: it has the reads that were answered before, for any caller."""

    def __init__(self) -> None:
        self._known = Kept[tuple[str, bytes], _Known](_KEPT_BYTES, lambda known: known.weight)

    def learn(self, scope: Scope, read: Read) -> None:
        """The request has been answered by `read`, and will be from now on."""
        key = scope["path"], scope["query_string"]
        weight = len(key[0]) + len(key[1]) + _OVERHEAD_BYTES
        self._known.put(key, _Known(read, scope["route"], weight))

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "http" or scope["method"] != "GET":
            return Match.NONE, {}
        known = self._known.get((scope["path"], scope["query_string"]))
        return (Match.NONE, {}) if known is None else (Match.FULL, {"route": known.route, "known": known})

    def url_path_for(self, name: str, /, **path_params: object) -> URLPath:
        raise NoMatchFound(name, path_params)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        caller = await admit(request, _presented(request.headers))
        database: Database = request.app.state.database
        read = partial(_read, database, caller.tenant_id, scope["known"].read)
        key = (caller.tenant_id, scope["path"], scope["query_string"])
        answer = await request.app.state.shared.call(key, read)
        await answer.to(request.headers)(scope, receive, send)


@dataclass(frozen=True)
class Asked:
    """A read as it was asked for, for an endpoint to answer."""

    request: Request
    session: Session

    def answer(self, read: Read) -> Response:
        """What `read` answers, now and when the same is asked again. Nothing else of the request counts."""
        answer = read(self.session)
        self.request.app.state.repeats.learn(self.request.scope, read)
        return answer.to(self.request.headers)


async def asked(request: Request, session: Reader) -> Asked:
    return Asked(request, session)


AskedDep = Annotated[Asked, Depends(asked, scope="function")]


def _presented(headers: Headers) -> str:
    """The API key, from where `get_caller` takes it."""
    scheme, credentials = get_authorization_scheme_param(headers.get("authorization"))
    bearer = credentials if scheme.lower() == "bearer" else ""
    return bearer or headers.get("x-api-key", "")


def _read(database: Database, tenant_id: str, read: Read) -> Answer:
    with database.read(tenant_id) as session:
        return read(session)
