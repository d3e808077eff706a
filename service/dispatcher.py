"""The dispatcher: publishes hints to idle workers, takes expired leases away, mends.

One is active per database; others wait for their turn. `python -m service.dispatcher`
"""

import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Iterable

from kombu.exceptions import OperationalError as BrokerError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session
from structlog.contextvars import bound_contextvars

import service.tables  # noqa: F401 - foreign keys are resolved among all tables
from service.jobs import clock_set_back, expiry, fairness, leadership, leases, origin, outbox
from service.jobs.tables import DISPATCH
from service.platform import tracing
from service.platform.auth import load_pepper
from service.platform.database import Database, is_unreachable, reason_of
from service.platform.logging import configure_logging
from service.platform.settings import Settings
from service.platform.startup import refusing_to_start, require_schema, tell_doubtful
from service.queue import QUEUES, CeleryPublisher, Publisher, create_celery, prepare_broker
from service.upkeep import Upkeep
from service.webhooks.sending import sending

_LOG = logging.getLogger(__name__)
_REAP_INTERVAL_S = 1.0
_MEND_INTERVAL_S = 60.0
_FORGET_INTERVAL_S = 600.0
_COLLECT_INTERVAL_S = 3600.0
_SHOW_INTERVAL_S = 5.0
_ASK_BROKER_INTERVAL_S = 60.0
_RETRY_S = 1.0
_REMIND_S = 60.0


class Trouble:
    """Tells of each trouble once and then each minute, and that it is over: not at every try."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told_at: dict[str, float] = {}

    def tell(self, what: str, reason: str) -> None:
        now = self._clock()
        if now - self._told_at.get(what, -math.inf) >= _REMIND_S:
            first, *_ = reason.strip().splitlines() or ["no reason given"]
            _LOG.warning("trouble with %s, trying again: %s", what, first)
            self._told_at[what] = now

    def over(self, *names: str) -> None:
        for what in names:
            if self._told_at.pop(what, None) is not None:
                _LOG.info("trouble with %s is over", what)


class Dispatcher:
    """One pass at a time; every pass may be cut off anywhere and repeated."""

    def __init__(self, database: Database, publisher: Publisher, settings: Settings) -> None:
        self._database = database
        self._publisher = publisher
        self._settings = settings
        self._next: dict[str, float] = {}
        self._trouble = Trouble()
        self._shown = False
        self._upkeep = Upkeep(database, settings)
        self._check: leadership.Check = lambda: None

    def run(self, stop: threading.Event) -> None:
        """Work until `stop`; waits for its turn while another dispatcher is active."""
        woken, waiting = threading.Event(), None
        while not stop.is_set():
            try:
                prepare_broker(self._settings)
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
                        self._trouble.over("the database", "the broker")
                        woken.wait(min(self._settings.dispatch_interval_s, leadership.CHECK_S))
            except SQLAlchemyError as error:
                self._trouble.tell("the database", reason_of(error))
            except (BrokerError, OSError) as error:  # the latter from a broker that is a folder
                self._trouble.tell("the broker", str(error))
            stop.wait(_RETRY_S)

    def once(self) -> None:
        """One pass."""
        for duty, interval_s in (
            (self.show, _SHOW_INTERVAL_S),
            (self.reap, _REAP_INTERVAL_S),
            (self.mend, _MEND_INTERVAL_S),
            (self._upkeep.forget_beside, _FORGET_INTERVAL_S),
            (self._upkeep.collect_beside, _COLLECT_INTERVAL_S),
        ):
            self._check()
            now = time.monotonic()
            if now >= self._next.get(duty.__name__, 0.0):
                self._next[duty.__name__] = now + interval_s  # first: one that fails must not fill every pass
                duty()
        self.ask_broker()
        for queue in QUEUES:
            self.relay(queue)

    def ask_broker(self) -> None:
        """A broker that is away shows before a job has to wait. Asked at each pass until it answers."""
        if time.monotonic() >= self._next.get("broker", 0.0):
            self._publisher.check()
            self._next["broker"] = time.monotonic() + _ASK_BROKER_INTERVAL_S

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
                gpu = queue != "train" or outbox.idle_slots(session, queue, gpu=True) > 0
                hint = fairness.next_hint(session, queue, self._settings.tenant_max_running, gpu=gpu)
                if hint is None:
                    return published
                job = origin.find(session, hint.job_id)
            name = f"publish {queue}"
            # Published before it is marked: cut off in between, it is published twice, which is harmless.
            with (
                bound_contextvars(**job.log_fields()),
                tracing.span(name, kind="producer", parent=job.traceparent),
            ):
                tracing.note({"cleave.job.id": job.job_id})
                self._publisher.publish(job.job_id, queue)
                _LOG.info("published")
            with self._database.write() as session:
                outbox.mark_published(session, hint, self._settings.publish_timeout_s)
        return slots

    def reap(self) -> None:
        """Take expired leases away and end outdated jobs."""
        with self._database.read() as session:
            overdue = [origin.find(session, job_id) for job_id in leases.expired(session)]
        for job in overdue:
            with bound_contextvars(**job.log_fields()), tracing.span("lease expired", parent=job.traceparent):
                tracing.note({"cleave.job.id": job.job_id})
                tracing.fail("lease_expired")
                self._change_each([job.job_id], self._reap)
        with self._database.read() as session:
            outdated = expiry.outdated(session)
        self._change_each(outdated, expiry.expire)

    def mend(self) -> None:
        """Bring stranded jobs back: none are to be expected, and finding that out reads the whole queue."""
        with self._database.read() as session:
            ahead = clock_set_back.is_ahead(session, self._settings)
            stranded = outbox.stranded(session)
        if ahead:
            with self._database.write() as session:
                count = clock_set_back.bring_back(session, self._settings)
            _LOG.warning("the database's clock was set back: %d instants set anew", count)
        self._change_each(stranded, outbox.mend)

    def _reap(self, session: Session, job_id: str) -> None:
        if leases.reap(session, job_id, self._settings.max_infra_attempts):
            _LOG.warning("lease expired")

    def _change_each(self, job_ids: Iterable[str], change: Callable[[Session, str], object]) -> None:
        """Each in a transaction of its own: a row that the database refuses must not stop the rest."""
        for job_id in job_ids:
            self._check()
            try:
                with self._database.write() as session:
                    change(session, job_id)
            except DBAPIError as error:
                if is_unreachable(error):
                    raise
                self._trouble.tell(job_id, reason_of(error))
            else:
                self._trouble.over(job_id)


def main(on_ready: Callable[[], object] = lambda: None) -> None:
    """Run until SIGTERM or SIGINT. Raises DatabaseBehindError, OSError (no secret to be read or made)."""
    settings = Settings()
    configure_logging(settings)
    tracing.start(settings, "dispatcher")
    tell_doubtful(settings, needs_secret=True)
    require_schema(settings)
    load_pepper(settings)  # here, and not only in the thread that sends: it would end, and nobody notice
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    database = Database(settings)
    on_ready()
    with sending(database, settings):
        Dispatcher(database, CeleryPublisher(create_celery(settings)), settings).run(stop)
    database.dispose()
    tracing.close()


if __name__ == "__main__":
    with refusing_to_start():
        main()
