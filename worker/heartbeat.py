"""The thread that keeps a lease alive and listens for the wish to cancel or pause.

It runs in the supervisor: a thread of the runner could starve behind a long operation, or die with it.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import InterfaceError, OperationalError

from service.jobs import leases
from service.jobs.leases import StopWish
from service.jobs.transitions import Lease, LeaseLost
from service.platform.database import Database

_LOG = logging.getLogger(__name__)
_POLL_S = 0.5
_RETRY_S = 0.5
T = TypeVar("T")


class Heartbeat(threading.Thread):
    """`lost`: the job is not ours any more. `wish`: its owner wants it stopped."""

    def __init__(self, database: Database, lease: Lease, ttl_s: float) -> None:
        super().__init__(name=f"heartbeat-{lease.job_id}", daemon=True)
        self._database = database
        self._lease = lease
        self._ttl_s = ttl_s
        self._renewed_at = time.monotonic()
        self._finished = threading.Event()
        self.lost = False
        self.wish: StopWish | None = None

    def run(self) -> None:
        while not self.lost and not self._finished.wait(min(_POLL_S, self._ttl_s / 4)):
            try:
                self._beat()
            except LeaseLost:
                self.lost = True
            except (OperationalError, InterfaceError) as error:
                _LOG.warning("database unavailable, lease not renewed: %s", error.orig)
                # Without the database's word for a whole term, the job counts as given to somebody else.
                self.lost = time.monotonic() - self._renewed_at > self._ttl_s

    def finish(self) -> None:
        """Stop and wait for the thread; afterwards nothing renews the lease."""
        self._finished.set()
        self.join()

    def patiently(self, write: Callable[[], T]) -> T:
        """Repeat while the database is away, for as long as the lease holds. Raises LeaseLost."""
        while True:
            try:
                return write()
            except (OperationalError, InterfaceError) as error:
                if self.lost:
                    raise LeaseLost from error
                _LOG.warning("database unavailable, trying again: %s", error.orig)
                time.sleep(_RETRY_S)

    def _beat(self) -> None:
        now = time.monotonic()
        if now - self._renewed_at < self._ttl_s / 4:
            with self._database.read() as session:
                self.wish = leases.stop_wish(session, self._lease)
            return
        with self._database.write() as session:
            self.wish = leases.renew(session, self._lease, self._ttl_s)
        self._renewed_at = now
