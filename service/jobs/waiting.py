"""Answers that wait: held requests and the event stream. Waiting holds no session and no thread."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from starlette.concurrency import run_in_threadpool

from service.jobs import repository
from service.jobs.schemas import EventRead
from service.platform.database import Database

POLL_S = 0.3
PING_S = 15.0
STREAM_LIMIT_S = 600.0
MAX_WAIT_S = 60.0
EVENTS_PER_READ = 500

T = TypeVar("T")


async def until(read: Callable[[], T], done: Callable[[T], bool], seconds: float) -> T:
    """`read()` again and again until `done` says so or the time is over; the last value either way."""
    deadline = time.monotonic() + min(seconds, MAX_WAIT_S)
    while True:
        value = await run_in_threadpool(read)
        if done(value) or time.monotonic() >= deadline:
            return value
        await asyncio.sleep(min(POLL_S, max(0.0, deadline - time.monotonic())))


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
        self._database = database
        self._tenant_id = tenant_id
        self._job_id = job_id

    def after(self, seq: int, limit: int = EVENTS_PER_READ) -> list[EventRead]:
        with self._database.read(self._tenant_id) as session:
            return [EventRead.of(e) for e in repository.events_after(session, self._job_id, seq, limit)]


async def stream(reader: EventReader, after: int) -> AsyncIterator[str]:
    """Server-sent events from number `after` + 1 on; ends after `job.done`, or after ten minutes."""
    yield "retry: 3000\n\n"
    started = last_sent = time.monotonic()
    while time.monotonic() - started < STREAM_LIMIT_S:
        events = await run_in_threadpool(reader.after, after)
        for event in events:
            yield f"id: {event.seq}\nevent: {event.type}\ndata: {event.model_dump_json()}\n\n"
            after, last_sent = event.seq, time.monotonic()
            if event.type == "job.done":
                return
        if time.monotonic() - last_sent > PING_S:
            yield ": ping\n\n"
            last_sent = time.monotonic()
        if len(events) < EVENTS_PER_READ:
            await asyncio.sleep(POLL_S)
