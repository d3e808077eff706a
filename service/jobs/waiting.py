"""Answers that wait: held requests and the event stream. Waiting holds no session and no thread."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from starlette.concurrency import run_in_threadpool

from service.jobs import repository
from service.jobs.schemas import EventRead
from service.platform.database import Database

# Without a wake-up, which a commit gives at once. A stream on which nothing happens looks ever less often: a
# thousand of them would otherwise ask the database a thousand times a second.
POLL_S = 1.0
IDLE_POLLS = 8
PING_S = 15.0
STREAM_LIMIT_S = 600.0
MAX_WAIT_S = 60.0
EVENTS_PER_READ = 500

T = TypeVar("T")


class _Bell:
    """Rings in the event loop when something was committed about a job."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Called by the thread that listens to the database."""
        with suppress(RuntimeError):  # the loop has ended, and with it whoever waited
            self._loop.call_soon_threadsafe(self._rung.set)

    async def wait(self, seconds: float) -> None:
        """Until it rings, or has rung since the last wait; at most so long."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._rung.wait(), seconds)
        self._rung.clear()


@contextmanager
def _bell_of(database: Database, job_id: str) -> Iterator[_Bell]:
    bell = _Bell()
    with database.wakeups.bell(job_id, bell.ring):
        yield bell


async def until(
    database: Database, job_id: str, read: Callable[[], T], *, done: Callable[[T], bool], seconds: float
) -> T:
    """`read()` at each change of the job until `done` says so or the time is over; the last value."""
    deadline = time.monotonic() + min(seconds, MAX_WAIT_S)
    value = await run_in_threadpool(read)
    if done(value) or seconds <= 0:
        return value
    with _bell_of(database, job_id) as bell:
        while True:
            value = await run_in_threadpool(read)
            left = deadline - time.monotonic()
            if done(value) or left <= 0:
                return value
            await bell.wait(min(POLL_S, left))


def preferred_wait(prefer: str | None) -> float:
    """Seconds from `Prefer: wait=N` (RFC 7240); 0 without one."""
    for preference in (prefer or "").split(","):
        name, _, value = (part.strip() for part in preference.partition("="))
        if name.lower() == "wait" and value.isascii() and value.isdecimal():
            return min(float(value), MAX_WAIT_S)
    return 0.0


class EventReader:
    """Reads one job's events of one tenant, each read in a session of its own."""

    def __init__(self, database: Database, tenant_id: str, job_id: str) -> None:
        self.database = database
        self.job_id = job_id
        self._tenant_id = tenant_id

    def after(self, seq: int, limit: int = EVENTS_PER_READ) -> list[EventRead]:
        with self.database.read(self._tenant_id) as session:
            return [EventRead.of(e) for e in repository.events_after(session, self.job_id, seq, limit)]


def _gap(event: EventRead, after: int) -> str:
    """What stands for the events between number `after` and `event`, which retention has dropped."""
    data = {"missing_from": after + 1, "missing_to": event.seq - 1}
    gap = {"seq": event.seq - 1, "type": "stream.gap", "ts": event.ts.isoformat(), "job_id": event.job_id}
    return f"id: {event.seq - 1}\nevent: stream.gap\ndata: {json.dumps({**gap, 'data': data})}\n\n"


async def stream(reader: EventReader, after: int) -> AsyncIterator[str]:
    """Server-sent events from number `after` + 1 on; ends after `job.done`, or after ten minutes."""
    yield "retry: 3000\n\n"
    started = last_sent = time.monotonic()
    polls = 1
    with _bell_of(reader.database, reader.job_id) as bell:
        while time.monotonic() - started < STREAM_LIMIT_S:
            events = await run_in_threadpool(reader.after, after)
            for event in events:
                if event.seq > after + 1:
                    yield _gap(event, after)
                yield f"id: {event.seq}\nevent: {event.type}\ndata: {event.model_dump_json()}\n\n"
                after, last_sent = event.seq, time.monotonic()
                if event.type == "job.done":
                    return
            if time.monotonic() - last_sent > PING_S:
                yield ": ping\n\n"
                last_sent = time.monotonic()
            if len(events) < EVENTS_PER_READ:
                polls = 1 if events else min(2 * polls, IDLE_POLLS)
                ping_s = last_sent + PING_S - time.monotonic()
                await bell.wait(min(polls * POLL_S, max(POLL_S, ping_s)))
