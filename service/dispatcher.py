"""The dispatcher: publishes hints to idle workers, takes expired leases away, mends.

One is active per database; others wait for their turn. `python -m service.dispatcher`
"""

import logging
import signal
import threading
import time
from collections.abc import Callable

from kombu.exceptions import OperationalError as BrokerError
from sqlalchemy.exc import DBAPIError

import service.tables  # noqa: F401 - foreign keys are resolved among all tables
from service.artifacts import collection
from service.audit import repository as audit
from service.jobs import expiry, fairness, leadership, leases, outbox, retention
from service.jobs.tables import DISPATCH
from service.platform.database import Database
from service.platform.errors import ServiceError
from service.platform.logging import configure_logging
from service.platform.settings import Settings
from service.platform.startup import refusing_to_start, require_schema
from service.platform.storage import open_store
from service.queue import QUEUES, CeleryPublisher, Publisher, create_celery, prepare_broker
from service.uploads import retention as uploads
from service.webhooks.sending import sending

_LOG = logging.getLogger(__name__)
# Any constant that differs from the other advisory locks taken in this database.
_ADVISORY_LOCK = 0x64697370
_REAP_INTERVAL_S = 1.0
_MEND_INTERVAL_S = 60.0
_FORGET_INTERVAL_S = 600.0
_COLLECT_INTERVAL_S = 3600.0
_SHOW_INTERVAL_S = 5.0
_RETRY_S = 1.0
_REMIND_S = 60.0


class Trouble:
    """Tells that a server is away once and then each minute, and that it is back: not at every try."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._server: str | None = None
        self._told_at = 0.0

    def tell(self, server: str, reason: str) -> None:
        now = self._clock()
        if server != self._server or now - self._told_at >= _REMIND_S:
            first, *_ = reason.strip().splitlines() or ["no reason given"]
            _LOG.warning("%s unavailable, trying again: %s", server, first)
            self._server, self._told_at = server, now

    def over(self) -> None:
        if self._server is not None:
            _LOG.info("%s available again", self._server)
            self._server = None


class Dispatcher:
    """One pass at a time; every pass may be cut off anywhere and repeated."""

    def __init__(self, database: Database, publisher: Publisher, settings: Settings) -> None:
        self._database = database
        self._publisher = publisher
        self._settings = settings
        self._next: dict[str, float] = {}
        self._trouble = Trouble()
        self._shown = False
        self._collector: threading.Thread | None = None
        self._check: leadership.Check = lambda: None

    def run(self, stop: threading.Event) -> None:
        """Work until `stop`; waits for its turn while another dispatcher is active."""
        woken, waiting = threading.Event(), None
        while not stop.is_set():
            try:
                with (
                    leadership.turn(self._database, self._settings) as check,
                    self._database.wakeups.bell(DISPATCH, woken.set),
                ):
                    if waiting is not (check is None):
                        waiting = check is None
                        _LOG.info("waiting: another dispatcher is active" if waiting else "active")
                    self._shown = False
                    while check is not None and not stop.is_set():
                        woken.clear()
                        self._check = check
                        self.once()
                        self._trouble.over()
                        woken.wait(min(self._settings.dispatch_interval_s, leadership.CHECK_S))
            except DBAPIError as error:
                self._trouble.tell("database", str(error.orig))
            except BrokerError as error:
                self._trouble.tell("broker", str(error))
            stop.wait(_RETRY_S)

    def once(self) -> None:
        """One pass."""
        for duty, interval_s in (
            (self.show, _SHOW_INTERVAL_S),
            (self.reap, _REAP_INTERVAL_S),
            (self.mend, _MEND_INTERVAL_S),
            (self.forget, _FORGET_INTERVAL_S),
            (self.collect_beside, _COLLECT_INTERVAL_S),
        ):
            self._check()
            now = time.monotonic()
            if now >= self._next.get(duty.__name__, 0.0):
                duty()
                self._next[duty.__name__] = now + interval_s
        for queue in QUEUES:
            self.relay(queue)

    def show(self) -> None:
        """Tell in the database that this dispatcher is active."""
        with self._database.write() as session:
            leadership.show(session, new_turn=not self._shown)
        self._shown = True

    def relay(self, queue: str) -> int:
        """Publish as many due hints as there are idle workers. Returns how many."""
        with self._database.read() as session:
            slots = outbox.idle_slots(session, queue)
        for published in range(slots):
            self._check()
            with self._database.read() as session:
                hint = fairness.next_hint(session, queue, self._settings.tenant_max_running)
            if hint is None:
                return published
            # Published before it is marked: cut off in between, it is published twice, which is harmless.
            self._publisher.publish(hint.job_id, queue)
            with self._database.write() as session:
                outbox.mark_published(session, hint, self._settings.publish_timeout_s)
        return slots

    def reap(self) -> None:
        """Take expired leases away and end outdated jobs, each in a transaction of its own.

        One bad row must not stop the rest.
        """
        with self._database.read() as session:
            overdue = leases.expired(session)
        for job_id in overdue:
            self._check()
            _LOG.warning("lease of %s expired", job_id)
            with self._database.write() as session:
                leases.reap(session, job_id, self._settings.max_infra_attempts)
        with self._database.read() as session:
            outdated = expiry.outdated(session)
        for job_id in outdated:
            with self._database.write() as session:
                expiry.expire(session, job_id)

    def mend(self) -> None:
        """Bring stranded jobs back: none are to be expected, and finding that out reads the whole queue."""
        with self._database.read() as session:
            stranded = outbox.stranded(session)
        for job_id in stranded:
            with self._database.write() as session:
                outbox.mend(session, job_id)

    def forget(self) -> None:
        """Drop what nobody asks for any more."""
        with self._database.write() as session:
            outbox.forget(session)
        settings = self._settings
        retention.remove_folders(self._database, settings.staging_root, retention.HOUR_MS)
        uploads.forget(self._database, settings)
        if settings.checkpoints_kept_days is not None:
            age_ms = round(settings.checkpoints_kept_days * retention.DAY_MS)
            retention.remove_folders(self._database, settings.checkpoint_root, age_ms)
        if settings.events_kept_days is not None:
            with self._database.write() as session:
                retention.forget_stories(session, round(settings.events_kept_days * retention.DAY_MS))
        if settings.audit_kept_days is not None:
            with self._database.write() as session:
                audit.forget(session, round(settings.audit_kept_days * retention.DAY_MS))

    def collect_beside(self) -> None:
        """`collect` in a thread: going through a large store takes minutes, and jobs must not wait for it."""
        if self._collector is None or not self._collector.is_alive():
            self._collector = threading.Thread(target=self.collect, daemon=True)
            self._collector.start()

    def collect(self) -> None:
        """Remove stored files that nothing names any more, where the settings say after how long."""
        settings = self._settings
        if settings.gc_grace_hours is None or not (settings.stores_in_s3 or settings.artifact_root.is_dir()):
            return
        try:
            report = collection.collect(self._database, open_store(settings), settings.gc_grace_hours * 3600)
        except (ServiceError, DBAPIError, OSError) as error:
            _LOG.warning("stored files are not collected: %s", error)
            return
        if report.removed or report.missing:
            _LOG.warning("removed %d stored files, missed %d", report.removed, len(report.missing))


def main(on_ready: Callable[[], object] = lambda: None) -> None:
    """Run until SIGTERM or SIGINT. Raises DatabaseBehindError."""
    settings = Settings()
    configure_logging(settings)
    require_schema(settings)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    database = Database(settings)
    prepare_broker(settings)
    on_ready()
    with sending(database, settings):
        Dispatcher(database, CeleryPublisher(create_celery(settings)), settings).run(stop)
    database.dispose()


if __name__ == "__main__":
    with refusing_to_start():
        main()
