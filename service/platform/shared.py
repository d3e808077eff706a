"""Work for threads that is done once for all who wait for it."""

import asyncio
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

from sqlalchemy.exc import SQLAlchemyError

from service.platform.database import is_unreachable

ResultT = TypeVar("ResultT")
_THREADS = 16


class Shared:
    """Calls functions in threads; for one event loop.

    Who asks before a call with the same key has begun gets its result; one that has begun is never joined.
    So whatever a call reads, it reads after everybody who gets its result has asked. Only that the database
    does not answer is told at once to all who wait: each would find it out in the same time again.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="shared")
        self._begun: dict[Hashable, asyncio.Task[Any]] = {}
        self._waiting: dict[Hashable, asyncio.Task[Any]] = {}

    async def call(self, key: Hashable, function: Callable[[], ResultT]) -> ResultT:
        """The function's result, or what it raises. One key stands for one function."""
        task = self._waiting.get(key)
        if task is None:
            task = self._waiting[key] = asyncio.create_task(self._call(key, function))
        # One of those who wait may go; the others stay.
        return cast(ResultT, await asyncio.shield(task))

    def close(self) -> None:
        self._threads.shutdown(wait=False)

    async def _call(self, key: Hashable, function: Callable[[], Any]) -> Any:
        before = self._begun.get(key)
        if before is not None:
            await asyncio.wait([before])
        task = self._waiting.pop(key)
        if before is not None:
            _give_up_with(before)
        self._begun[key] = task
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, function)
        finally:
            if self._begun.get(key) is task:
                del self._begun[key]


def _give_up_with(before: asyncio.Task[Any]) -> None:
    """Raises what it has raised, where the database did not answer."""
    error = None if before.cancelled() else before.exception()
    if isinstance(error, SQLAlchemyError) and is_unreachable(error):
        raise error
