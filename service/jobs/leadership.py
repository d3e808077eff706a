"""Which dispatcher is active: the right to dispatch is a lock; a row tells those who watch.

PostgreSQL: an advisory lock, which lives as long as its connection. The server ends a connection that is
silent for longer than a living dispatcher ever is: one that hangs, is stopped or cut off loses its turn, and
finds that out before its next step. SQLite: a lock on a file, which the kernel frees when the process ends;
one that is stopped keeps its turn, as it may keep the database's own lock.
"""

import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from service.jobs.tables import ActiveDispatcher
from service.platform.clock import db_now
from service.platform.database import Database
from service.platform.settings import Settings

Check = Callable[[], object]
CHECK_S = 2.0
_SILENCE_S = 10
# Any constant that differs from the other advisory locks taken in this database.
_ADVISORY_LOCK = 0x64697370
_SERVER_WATCHES = (
    f"SET idle_session_timeout = '{_SILENCE_S}s'",
    # For an answer that nobody takes: then the session is not idle.
    f"SET tcp_user_timeout = '{_SILENCE_S}s'",
    f"SET tcp_keepalives_idle = '{_SILENCE_S}s'",
    f"SET tcp_keepalives_interval = '{_SILENCE_S}s'",
    "SET tcp_keepalives_count = 1",
)

_ONLY_ROW = 1


def show(session: Session, *, new_turn: bool) -> None:
    """Tell that this process dispatches now."""
    row = session.get(ActiveDispatcher, _ONLY_ROW) or ActiveDispatcher(id=_ONLY_ROW, turn=0)
    row.hostname, row.pid = socket.gethostname(), os.getpid()
    row.turn += new_turn
    row.heartbeat_at = db_now()
    session.add(row)


@contextmanager
def turn(database: Database, settings: Settings) -> Iterator[Check | None]:
    """The right to dispatch, or None while another process has it.

    To be asked before each step: it raises DBAPIError once the right is lost.
    """
    if database.engine.dialect.name == "sqlite":
        with (settings.home / "dispatcher.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield None
                return
            yield lambda: None
        return
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _ADVISORY_LOCK}):
            yield None
            return
        try:
            for setting in _SERVER_WATCHES:
                connection.execute(text(setting))
            yield _checking(connection)
        finally:
            connection.invalidate()  # closed, not given back: the lock must not go on in the pool


def _checking(connection: Connection) -> Check:
    """A connection that answers still has its lock. One that answered a moment ago is not asked."""
    asked_at = time.monotonic()  # which goes on while the process is stopped

    def check() -> None:
        nonlocal asked_at
        if time.monotonic() - asked_at >= CHECK_S / 2:
            connection.execute(text("SELECT 1"))
            asked_at = time.monotonic()

    return check
