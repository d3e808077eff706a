"""`Link: <...>; rel="next"`: every list that has a next page names it, whatever it is rendered by."""

from contextvars import ContextVar
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Scope

# Of the request being served, also in the threads that work for it.
_CURSORS: ContextVar[list[str]] = ContextVar("cursors")


def begin() -> None:
    """A new request is being served."""
    _CURSORS.set([])


def tell_next(cursor: str | None) -> None:
    """The answer is a list; `cursor` leads to its next page, where it has one."""
    told = _CURSORS.get(None)
    if cursor is not None and told is not None:
        told.append(cursor)


def add_next(scope: Scope, start: Message) -> None:
    """The header, if a cursor was told."""
    cursors = _CURSORS.get([])
    if cursors and start["status"] == 200:
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        others = [(name, value) for name, value in query if name != "after"]
        # A query alone: it holds under the host and path that were asked, which a proxy may have changed.
        link = f'<?{urlencode([*others, ("after", cursors[-1])])}>; rel="next"'
        MutableHeaders(scope=start)["Link"] = link
