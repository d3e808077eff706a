"""Keyset pages: `?limit=50&after=<cursor>`, newest first unless a list says otherwise.

A cursor carries the keys of the last row and a digest of the list it is of, filters and sorting included.
"""

import base64
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Query, Request
from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, Float, Integer, Select, String, literal, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from service.platform.clock import Instant
from service.platform.errors import CursorMismatchError, InvalidCursorError
from service.platform.links import tell_next

DEFAULT_LIMIT = 50
MAX_LIMIT = 200

RowT = TypeVar("RowT")
ItemT = TypeVar("ItemT")
Key = ColumnElement[Any] | InstrumentedAttribute[Any]


@dataclass(frozen=True)
class PageRequest:
    """The part of a list that is asked for. `source` digests which list: its path, filters and sorting."""

    limit: int = DEFAULT_LIMIT
    after: str | None = None
    source: str = ""


@dataclass(frozen=True)
class Page(Generic[RowT]):
    """Rows of one page; `next_cursor` is None on the last."""

    rows: list[RowT]
    next_cursor: str | None


class ListOf(BaseModel, Generic[ItemT]):
    """The envelope of every list."""

    data: list[ItemT]
    has_more: bool
    next_cursor: str | None = Field(description="Give it back as `after` to read the next page.")

    @classmethod
    def of(cls, items: Sequence[ItemT], next_cursor: str | None = None) -> "ListOf[ItemT]":
        tell_next(next_cursor)
        return cls(data=list(items), has_more=next_cursor is not None, next_cursor=next_cursor)


async def page_request(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Items per page.")] = DEFAULT_LIMIT,
    after: Annotated[
        str | None, Query(max_length=512, description="`next_cursor` of the page before.")
    ] = None,
) -> PageRequest:
    """FastAPI dependency: the two paging parameters of a list."""
    return PageRequest(limit=limit, after=after, source=_source(request))


PageDep = Annotated[PageRequest, Depends(page_request)]


def fetch_page(
    session: Session,
    statement: Select[RowT],
    keys: Sequence[Key],
    page: PageRequest,
    *,
    ascending: bool = False,
) -> Page[RowT]:
    """One page of `statement`, ordered by `keys`, all in the same direction; the last key must be unique.

    Every key is either an Instant column, a number or a text.

    Raises:
        InvalidCursorError, CursorMismatchError: the cursor is none, or one of another list.
    """
    return _rows(session, _paged(statement, keys, page, ascending=ascending), len(keys), page)


def fetch_page_found(
    session: Session,
    found: Select[Any],
    keys: Sequence[Key],
    page: PageRequest,
    *,
    ascending: bool = False,
    told: tuple[Any, Key],
) -> Page[Any]:
    """`fetch_page` of what the rows of `found` stand for, which is read of the page's rows only.

    However many rows have to be looked at, an index that has all that is asked of them is enough.

    Args:
        found: Of which nothing but the keys is read.
        told: What is answered for each, and its column that the last key is equal to.

    Raises:
        InvalidCursorError, CursorMismatchError: the cursor is none, or one of another list.
    """
    what, row_id = told
    inner = list(_paged(found, keys, page, ascending=ascending).subquery().c)
    outer = select(what, *inner).join(inner[0].table, inner[-1] == row_id)
    return _rows(session, outer.order_by(*_in_order(inner, ascending=ascending)), len(keys), page)


def _paged(statement: Select[Any], keys: Sequence[Key], page: PageRequest, *, ascending: bool) -> Select[Any]:
    """The rows of the page, and one to see whether there are more, with their keys at the end."""
    if page.after is not None:
        values = _decode(page.after, keys, page.source)
        here = tuple_(*(literal(v, k.type) for k, v in zip(keys, values, strict=True)))
        statement = statement.where(tuple_(*keys) > here if ascending else tuple_(*keys) < here)
    # Labelled: a bare `-Row.id` beside the row itself takes the place of the row's own id.
    shown = [key.label(f"key_{index}") for index, key in enumerate(keys)]
    ordered = statement.add_columns(*shown).order_by(*_in_order(keys, ascending=ascending))
    return ordered.limit(page.limit + 1)


def _in_order(keys: Sequence[Any], *, ascending: bool) -> list[Any]:
    return [key.asc() if ascending else key.desc() for key in keys]


def _rows(session: Session, statement: Select[Any], keys: int, page: PageRequest) -> Page[Any]:
    found = session.execute(statement).all()
    more = len(found) > page.limit
    cursor = _encode(found[page.limit - 1][-keys:], page.source) if more else None
    return Page(rows=[row[0] for row in found[: page.limit]], next_cursor=cursor)


def _source(request: Request) -> str:
    filters = sorted(p for p in request.query_params.multi_items() if p[0] not in ("limit", "after"))
    return hashlib.sha256(json.dumps([request.url.path, filters]).encode()).hexdigest()[:16]


def _encode(values: Sequence[Any], source: str) -> str:
    plain = [round(v.timestamp() * 1000) if isinstance(v, datetime) else v for v in values]
    return base64.urlsafe_b64encode(json.dumps([*plain, source]).encode()).decode().rstrip("=")


def _decode(cursor: str, keys: Sequence[Key], source: str) -> list[Any]:
    try:
        *values, origin = json.loads(
            base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        )
        if not isinstance(origin, str):
            raise TypeError("no digest of a list")
        if origin != source:
            raise CursorMismatchError("The cursor is of a list with other filters or another order.")
        return [_restore(value, key) for value, key in zip(values, keys, strict=True)]
    except (TypeError, ValueError, OverflowError, RecursionError, OSError) as error:
        raise InvalidCursorError("The cursor is not one that this list gave out.") from error


def _restore(value: Any, key: Key) -> datetime | str | int | float:
    """A cursor comes from the caller: only a value of the key's own type reaches the database."""
    if isinstance(key.type, Instant) and type(value) is int:
        return datetime.fromtimestamp(value / 1000, tz=UTC)
    if isinstance(key.type, String) and isinstance(value, str) and value.isprintable():
        return value
    if isinstance(key.type, Integer) and type(value) is int and abs(value) < 2**63:
        return value
    if isinstance(key.type, Float) and type(value) in (int, float) and math.isfinite(value):
        return float(value)
    raise ValueError("not a value of this key")
