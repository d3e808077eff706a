"""Lists, page by page."""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Generic, TypeVar

from pydantic import PrivateAttr

from service.client.schemas import Resource

ItemT = TypeVar("ItemT", bound=Resource)


class Page(Resource, Generic[ItemT]):
    """One page of a list. Iterating over it goes on to the pages behind it, which are asked for then.

    `for module in client.modules.list(tag="new")`, with asyncio `async for module in await ...`; the items of
    this page alone are `data`.
    """

    data: list[ItemT]
    has_more: bool = False
    next_cursor: str | None = None
    # Asks for the page after a cursor; the client sets it.
    _ask: Callable[[str], Any] | None = PrivateAttr(None)

    def __iter__(self) -> Iterator[ItemT]:  # type: ignore[override]  # pydantic's gives pairs of fields
        page: Any = self
        while page is not None:
            yield from page.data
            page = page._next()
            if isinstance(page, Coroutine):
                page.close()
                raise TypeError("the next page is to be awaited: iterate with `async for`")

    async def __aiter__(self) -> AsyncIterator[ItemT]:
        page: Any = self
        while page is not None:
            for item in page.data:
                yield item
            following = page._next()
            page = await following if isinstance(following, Coroutine) else following

    def _next(self) -> Any:
        """The next page, of a client with asyncio to be awaited; None behind the last."""
        if self._ask is None or self.next_cursor is None or not self.has_more:
            return None
        return self._ask(self.next_cursor)
