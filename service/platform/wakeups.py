"""Waking what waits for a commit, in any process: PostgreSQL notifies, SQLite's change counter is watched.

A wake-up is a hint. Whoever is woken reads the database, and does so from time to time without being woken:
a lost one costs seconds, never a job.
"""

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

_LOG = logging.getLogger(__name__)
_CHANNEL = "cleave"
# Reading the counter takes microseconds; forty times a second is a thousandth of a core.
_LOOK_S = 0.025
_RETRY_S = 1.0
_CLOSING_S = 0.5

Bell = Callable[[], object]


def announce(connection: Connection, topic: str) -> None:
    """Wake the topic's listeners when this transaction commits."""
    if connection.dialect.name == "postgresql":
        statement = text("SELECT pg_notify(:channel, :topic)")
        connection.execute(statement, {"channel": _CHANNEL, "topic": topic})


class Wakeups:
    """The bells of one process. One thread with one connection rings them all, from the first bell on.

    SQLite's counter does not say what was committed: there, every commit rings every bell.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._bells: dict[str, list[Bell]] = defaultdict(list)
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    @contextmanager
    def bell(self, topic: str, ring: Bell) -> Iterator[None]:
        """Call `ring` (from another thread) at each commit that announced `topic`, and at some others."""
        with self._changed:
            self._bells[topic].append(ring)
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="wakeups", daemon=True)
                self._thread.start()
            self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._bells[topic].remove(ring)
                if not self._bells[topic]:
                    del self._bells[topic]

    def close(self) -> None:
        """Ring no more."""
        with self._changed:
            self._closed = True
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join(2 * _CLOSING_S)

    def _run(self) -> None:
        errors: tuple[type[Exception], ...] = (SQLAlchemyError, self._engine.dialect.loaded_dbapi.Error)
        work = self._watch if self._engine.dialect.name == "sqlite" else self._listen
        told = False
        while not self._closed:
            try:
                with closing(self._engine.raw_connection()) as connection:
                    driven = connection.driver_connection
                    connection.detach()  # not to go back among the others, listening
                    told = False
                    work(driven)
            except errors as error:
                if not told:
                    _LOG.warning("not woken by the database for now: %s", str(error).strip())
                told = True
                self._pause(_RETRY_S)

    def _watch(self, connection: Any) -> None:
        """SQLite: look at the counter of commits by other connections, while anybody cares."""
        seen = None
        while not self._closed:
            (version,) = connection.execute("PRAGMA data_version").fetchone()
            if version != seen:
                self._ring()
            seen = version
            with self._changed:
                self._changed.wait_for(lambda: self._bells or self._closed)
            self._pause(_LOOK_S)

    def _listen(self, connection: Any) -> None:
        """PostgreSQL: wait for notifications."""
        connection.autocommit = True
        connection.execute(f"LISTEN {_CHANNEL}")
        self._ring()  # for what was announced while nobody listened
        while not self._closed:
            for notice in connection.notifies(timeout=_CLOSING_S):
                self._ring(notice.payload)

    def _ring(self, topic: str | None = None) -> None:
        with self._changed:
            groups = list(self._bells.values()) if topic is None else [self._bells.get(topic, [])]
            bells = [bell for group in groups for bell in group]
        for bell in bells:
            bell()

    def _pause(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed, seconds)
