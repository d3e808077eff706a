"""A job's events as one unbroken sequence.

Server-sent events, resumed where they stopped; long polling where they cannot pass.
"""

import asyncio
import time
from collections.abc import AsyncIterator

import httpx

from service.client.aio.transport import AsyncTransport, backoff, describe, segment
from service.client.errors import CleaveApiError, CleaveConnectionError
from service.client.pages import Page
from service.client.schemas import Event

_SILENCE_S = 40.0  # the service sends a comment every 15 s, so this much silence is a dead connection
_FAILURES_IN_A_ROW = 8
_POLL_WAIT_S = 15.0


async def follow(
    transport: AsyncTransport, job_id: str, after: int, deadline: float | None = None
) -> AsyncIterator[Event | None]:
    """Yield every event after number `after` once, until `job.done`; None at each sign of life in between.

    The `None`s let a caller look at the clock while nothing happens. `deadline` (time.monotonic) bounds
    each silence.
    """
    failures = 0
    while True:
        try:
            async for event in _stream(transport, job_id, after, deadline):
                failures = 0
                if event is None or event.seq > after:
                    after = after if event is None else event.seq
                    yield event
            return  # after `job.done`, or there is nothing to tell: nothing more will happen
        except CleaveApiError as error:
            if error.status not in {404, 405, 406, 429, 501, 502, 503, 504}:
                raise
            async for event in _poll(transport, job_id, after, deadline):
                yield event
            return
        except httpx.TransportError as error:
            failures += 1
            if deadline is not None and time.monotonic() >= deadline:
                yield None
            if failures >= _FAILURES_IN_A_ROW:
                raise CleaveConnectionError(transport.base_url, describe(error)) from error
            await asyncio.sleep(backoff(failures - 1))


async def _stream(
    transport: AsyncTransport, job_id: str, after: int, deadline: float | None
) -> AsyncIterator[Event | None]:
    """One connection's events. Raises httpx.TransportError when it ends before the job did."""
    silence = _SILENCE_S if deadline is None else max(0.1, min(_SILENCE_S, deadline - time.monotonic()))
    headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
    path = f"/v1/jobs/{segment(job_id)}/events/stream"
    async with transport.stream(path, headers=headers, read_timeout=silence) as response:
        if response.status_code == 204:
            return
        data: list[str] = []
        async for line in response.aiter_lines():
            if line.startswith("data:"):
                data.append(line.removeprefix("data:").removeprefix(" "))
            elif line == "" and data:
                event = Event.model_validate_json("\n".join(data))
                data = []
                yield event
                if event.type == "job.done":
                    return
            elif line.startswith(":"):
                yield None
    raise httpx.RemoteProtocolError("the event stream ended before the job did")


async def _poll(
    transport: AsyncTransport, job_id: str, after: int, deadline: float | None
) -> AsyncIterator[Event | None]:
    """The same events by long polling. Raises CleaveError."""
    path = f"/v1/jobs/{segment(job_id)}/events"
    while True:
        left = _POLL_WAIT_S if deadline is None else max(0.0, deadline - time.monotonic())
        params = {"after": after, "wait": round(min(_POLL_WAIT_S, left), 1)}
        page = await transport.get(path, Page[Event], params)
        for event in page.data:
            after = event.seq
            yield event
            if event.type == "job.done":
                return
        yield None
