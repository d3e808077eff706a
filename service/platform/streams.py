"""How many event streams and held requests a key may have open in this process."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from service.platform.dependencies import CallerDep
from service.platform.errors import TooManyStreamsError

_RETRY_AFTER_S = 5


class Streams:
    """What is open, by whom; of one event loop."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open = Counter[str]()

    def require_room(self, holder: str) -> None:
        """Raises TooManyStreamsError."""
        if self._open[holder] >= self._limit:
            refusal = TooManyStreamsError(
                f"This key has {self._limit} streams and waiting requests open, and may have no more; "
                "close some of them."
            )
            refusal.headers["Retry-After"] = str(_RETRY_AFTER_S)
            raise refusal

    @contextmanager
    def one(self, holder: str) -> Iterator[None]:
        """One of them, open for as long as the block lasts. Raises TooManyStreamsError."""
        self.require_room(holder)
        self._open[holder] += 1
        try:
            yield
        finally:
            self._open[holder] -= 1
            self._open += Counter()  # forgets who has none open


@dataclass(frozen=True)
class Listener:
    """Who listens. `key`: of those that count as one."""

    tenant_id: str
    key: str
    streams: Streams

    def listening(self) -> AbstractContextManager[None]:
        """Raises TooManyStreamsError."""
        return self.streams.one(self.key)

    def waiting(self, seconds: float) -> AbstractContextManager[None]:
        """The same for a request that is held so long; one that is not held is not counted."""
        return self.listening() if seconds > 0 else nullcontext()


async def get_streams(request: Request) -> Streams:
    return cast(Streams, request.app.state.streams)


StreamsDep = Annotated[Streams, Depends(get_streams)]


async def get_listener(caller: CallerDep, streams: StreamsDep) -> Listener:
    return Listener(caller.tenant_id, caller.key_id or caller.tenant_id, streams)


ListenerDep = Annotated[Listener, Depends(get_listener)]


class CountedStream(StreamingResponse):
    """Server-sent events that are counted from when they are sent, to the end or until nobody listens."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncIterator[str], listener: Listener, headers: Mapping[str, str]) -> None:
        super().__init__(events, headers=headers)
        self._listener = listener

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._listener.listening():
            await super().__call__(scope, receive, send)
