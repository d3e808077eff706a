"""The thread that keeps a lease alive and listens for the wish to cancel or pause.

It runs in the supervisor: a thread of the runner could starve behind a long operation, or die with it.
"""

import logging
import math
import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError

from service.jobs import leases
from service.jobs.leases import StopWish
from service.jobs.transitions import Lease, LeaseLost
from service.platform.database import Database, is_away, is_full, reason_of, took_too_long

_LOG = logging.getLogger(__name__)
_POLL_S = 0.5
_RETRY_S = 0.5
_TRIES = 5
# A disk may be given room by then. The lease may hold much longer, because renewing it takes no more space.
_FULL_S = 120.0
T = TypeVar("T")


class Heartbeat(threading.Thread):
    """`wish`: the job's owner wants it stopped. `until`: when the lease ends, by `time.monotonic`."""

    def __init__(self, database: Database, lease: Lease, ttl_s: float, since: float) -> None:
        """`since`: a moment before the lease was taken."""
        super().__init__(name=f"heartbeat-{lease.job_id}", daemon=True)
        self._database = database
        self._lease = lease
        self._ttl_s = ttl_s
        self._taken_away = False
        self._finished = threading.Event()
        self.until = since + ttl_s
        self.wish: StopWish | None = None
        self._context = copy_context()  # its lines name the job as those around do

    @property
    def lost(self) -> bool:
        """The job is not ours any more, or counts as given to somebody else: a whole term was not renewed.

        By the clock of whoever asks: the thread may hang in a call, or have died.
        """
        return self._taken_away or time.monotonic() >= self.until

    def run(self) -> None:
        self._context.run(self._beat_on)

    def _beat_on(self) -> None:
        while not self.lost and not self._finished.wait(min(_POLL_S, self._ttl_s / 4)):
            try:
                self._beat()
            except LeaseLost:
                self._taken_away = True
            except SQLAlchemyError as error:
                _LOG.warning("lease not renewed: %s", reason_of(error))

    def finish(self) -> None:
        """Stop and wait for the thread; afterwards nothing renews the lease."""
        self._finished.set()
        self.join()

    def patiently(self, write: Callable[[], T]) -> T:
        """Repeat while the database is away, for as long as the lease holds. Raises LeaseLost.

        One that takes the database longer than a statement may, or has no room, is not repeated for ever.
        """
        tried, full_since = 0, math.inf
        while True:
            try:
                return write()
            except SQLAlchemyError as error:
                tried += took_too_long(error)
                full_since = min(full_since, time.monotonic()) if is_full(error) else math.inf
                full = time.monotonic() - full_since >= _FULL_S
                if not is_away(error) or tried == _TRIES or full:
                    raise
                if self.lost:
                    raise LeaseLost from error
                _LOG.warning("database unavailable, trying again: %s", reason_of(error))
                time.sleep(_RETRY_S)

    def _beat(self) -> None:
        now = time.monotonic()
        if self.until - now > 0.75 * self._ttl_s:
            with self._database.read() as session:
                self.wish = leases.stop_wish(session, self._lease)
            return
        with self._database.write() as session:
            self.wish = leases.renew(session, self._lease, self._ttl_s)
        self.until = now + self._ttl_s
