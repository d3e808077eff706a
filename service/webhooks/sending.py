"""Sends what is due. A receiver that is slow or away holds up nobody but itself.

A message is claimed for one attempt, sent, and settled. Cut off anywhere in between, the claim runs out and
the message is sent again under the same id: at least once, never lost.
"""

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError

from service.platform.auth import load_pepper
from service.platform.database import Database
from service.platform.settings import Settings
from service.webhooks import repository
from service.webhooks.outcomes import Attempt, Message, hold_ms, message_of, settle
from service.webhooks.posting import Poster
from service.webhooks.service import DELIVERIES

_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")
_AT_ONCE_EACH = 4
_CLAIMED_AT_ONCE = 16
# Room for the slow receivers of several tenants, each of which may have twenty.
_AT_ONCE = 256
# Threads that read and write the database; each name is looked up in one of its own, and may take its time.
_WRITERS = 2
_LOOK_S = 1.0
_STOPPING_S = 2.0


class Sender:
    """The messages under way of one process; runs in an event loop of its own."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._pepper = load_pepper(settings)
        self._under_way: dict[asyncio.Task[None], str] = {}
        self._writers = ThreadPoolExecutor(_WRITERS, "webhooks-database")

    async def run(self, stop: asyncio.Event) -> None:
        """Send until `stop`, then give what is under way a moment to arrive."""
        loop, woken = asyncio.get_running_loop(), asyncio.Event()

        def ring() -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(woken.set)

        with self._database.wakeups.bell(DELIVERIES, ring):
            async with Poster(self._settings) as poster:
                while not stop.is_set():
                    woken.clear()
                    claimed: list[Message] = []
                    try:
                        claimed = await self._in_thread(self._claim)
                    except SQLAlchemyError as error:  # the dispatcher tells of it
                        _LOG.debug("database unavailable: %s", error)
                    for message in claimed:
                        self._start(poster, message, woken)
                    # Behind what one receiver has waiting there may be others': they are looked for at once.
                    if not claimed:
                        await _first_of(stop, woken, _LOOK_S)
                if self._under_way:
                    await asyncio.wait(self._under_way, timeout=_STOPPING_S)

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._writers, work)

    def _claim(self) -> list[Message]:
        """Messages to send now, some of those there is room for; none where nothing may be sent."""
        room = min(_AT_ONCE - len(self._under_way), _CLAIMED_AT_ONCE)
        each = Counter(self._under_way.values())
        if room <= 0:
            return []
        with self._database.read() as session:
            busy = [webhook_id for webhook_id, number in each.items() if number >= _AT_ONCE_EACH]
            due = repository.due(session, busy, room)
        claimed = []
        hold = hold_ms(self._settings)
        for delivery_id, webhook_id in due:
            each[webhook_id] += 1
            if each[webhook_id] > _AT_ONCE_EACH:
                continue
            with self._database.write() as session:
                delivery = repository.claim(session, delivery_id, hold)
                message = None if delivery is None else message_of(session, delivery, self._pepper)
            if message is not None:
                claimed.append(message)
        return claimed

    def _start(self, poster: Poster, message: Message, woken: asyncio.Event) -> None:
        task = asyncio.create_task(self._deliver(poster, message))
        self._under_way[task] = message.webhook_id

        def over(done: asyncio.Task[None]) -> None:
            del self._under_way[done]
            woken.set()

        task.add_done_callback(over)

    async def _deliver(self, poster: Poster, message: Message) -> None:
        lookup = poster.look_up(message)
        attempt = await poster.post(message, lookup)
        with suppress(SQLAlchemyError):  # not settled, so sent again
            await self._in_thread(partial(self._settle, message, attempt))
        # Its place is free again when its thread is: a name server that is silent takes nobody else's.
        await asyncio.gather(lookup, return_exceptions=True)

    def _settle(self, message: Message, attempt: Attempt) -> None:
        with self._database.write() as session:
            settle(session, message, attempt)


@contextmanager
def sending(database: Database, settings: Settings) -> Iterator[None]:
    """Send in a thread, for as long as the block lasts."""
    started: dict[str, asyncio.AbstractEventLoop] = {}
    stop = asyncio.Event()
    ready = threading.Event()

    async def work() -> None:
        started["loop"] = asyncio.get_running_loop()
        ready.set()
        await Sender(database, settings).run(stop)

    thread = threading.Thread(target=asyncio.run, args=(work(),), name="webhooks", daemon=True)
    thread.start()
    ready.wait()
    try:
        yield
    finally:
        with suppress(RuntimeError):  # the loop has ended
            started["loop"].call_soon_threadsafe(stop.set)
        thread.join(2 * _STOPPING_S)


async def _first_of(stop: asyncio.Event, woken: asyncio.Event, seconds: float) -> None:
    waits = [asyncio.create_task(event.wait()) for event in (stop, woken)]
    await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
