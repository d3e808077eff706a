"""Commits wake what waits: other processes' too, those of the topic only, also after a lost connection."""

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from sqlalchemy import text

from service.dispatcher import Dispatcher
from service.jobs import service
from service.jobs.endings import Failed, settle
from service.jobs.tables import DISPATCH
from service.platform.database import Database
from service.platform.settings import Settings
from tests.fixtures.jobs import claimed, queued, train_spec
from tests.service.jobs.test_dispatcher import Recorder, add_worker

WITHIN_S = 20.0
NOTHING_S = 0.5


@contextmanager
def listening(database: Database, topic: str) -> Iterator["queue.Queue[str]"]:
    rings: queue.Queue[str] = queue.Queue()
    with database.wakeups.bell(topic, lambda: rings.put(topic)):
        yield rings


@pytest.fixture(autouse=True)
def _listening_has_begun(database: Database) -> None:
    """Its beginning rings every bell."""
    begun = threading.Event()
    with database.wakeups.bell("none", begun.set):
        assert begun.wait(WITHIN_S)


@pytest.fixture
def other(settings: Settings) -> Iterator[Database]:
    """What another process would open."""
    opened = Database(settings)
    yield opened
    opened.dispose()


def test_a_commit_elsewhere_rings(database: Database, other: Database, tenant: str) -> None:
    job_id = queued(other, tenant)
    with listening(database, job_id) as rings:
        with other.write() as session:
            service.cancel(session, job_id)
        rings.get(timeout=WITHIN_S)
    with listening(database, DISPATCH) as rings:
        add_worker(other)
        rings.get(timeout=WITHIN_S)


@pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
@pytest.mark.services
class TestPostgres:
    def test_what_is_rolled_back_rings_nothing(self, database: Database, tenant: str) -> None:
        with listening(database, DISPATCH) as rings:
            with suppress(ZeroDivisionError), database.write() as session:
                service.enqueue(session, tenant, train_spec())
                raise ZeroDivisionError
            with pytest.raises(queue.Empty):
                rings.get(timeout=NOTHING_S)

    def test_others_jobs_ring_nothing(self, database: Database, tenant: str) -> None:
        one, other = queued(database, tenant), queued(database, tenant)
        with listening(database, one) as rings:
            with database.write() as session:
                service.cancel(session, other)
            with pytest.raises(queue.Empty):
                rings.get(timeout=NOTHING_S)

    def test_listens_again_after_its_connection_was_ended(self, database: Database, tenant: str) -> None:
        with listening(database, DISPATCH) as rings:
            with database.write() as session:
                ended = (
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
                )
                here = " AND datname = current_database()"
                assert session.scalar(text(ended + here)) == 1
            # What was announced in between may be lost, so that it is connected again is a wake-up itself.
            rings.get(timeout=WITHIN_S)
            queued(database, tenant)
            rings.get(timeout=WITHIN_S)


class Noticed(Recorder):
    """Tells when something was published."""

    def __init__(self) -> None:
        super().__init__()
        self.news = threading.Event()

    def publish(self, job_id: str, queue: str) -> None:
        super().publish(job_id, queue)
        self.news.set()


def test_the_dispatcher_does_not_wait_for_its_timer(
    database: Database, other: Database, tenant: str, settings: Settings
) -> None:
    broker, stop = Noticed(), threading.Event()
    patient = settings.model_copy(update={"dispatch_interval_s": 3600.0})
    thread = threading.Thread(target=Dispatcher(database, broker, patient).run, args=(stop,))
    thread.start()
    try:
        first, second = queued(other, tenant), queued(other, tenant)
        add_worker(other)
        assert broker.news.wait(WITHIN_S)
        broker.news.clear()
        claim = claimed(other, first, owner="wrk_train1")
        with other.write() as session:
            settle(session, claim.lease, Failed("wrong", "It is wrong.", "user"), settings)
        assert broker.news.wait(WITHIN_S)
        assert broker.published == [(first, "train"), (second, "train")]
    finally:
        stop.set()
        queued(other, tenant)
        thread.join()
