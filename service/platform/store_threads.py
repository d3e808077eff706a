"""Threads that wait for the artifact store, apart from those that answer everything else.

A bucket that is silent keeps each of them for minutes; what needs none of its files goes on meanwhile.
"""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

T = TypeVar("T")
_THREADS = 40
# One for each event loop, as anyio keeps its own.
_LIMITER: RunVar[CapacityLimiter] = RunVar("store_threads")


async def run(work: Callable[[], T]) -> T:
    """Call it in one of these threads."""
    try:
        limiter = _LIMITER.get()
    except LookupError:
        limiter = CapacityLimiter(_THREADS)
        _LIMITER.set(limiter)
    return await to_thread.run_sync(work, limiter=limiter)


def endpoint(answer: Callable[..., T]) -> Callable[..., Awaitable[T]]:
    """An endpoint that asks the store before it answers."""

    async def call(**values: Any) -> T:
        return await run(partial(answer, **values))

    call.__name__, call.__doc__, call.__module__ = answer.__name__, answer.__doc__, answer.__module__
    call.__signature__ = inspect.signature(answer)  # type: ignore[attr-defined]  # FastAPI reads it
    return call


async def iterate(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The same chunks, each fetched in one of these threads."""
    while (chunk := await run(partial(next, chunks, None))) is not None:
        yield chunk
