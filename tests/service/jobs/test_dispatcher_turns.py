"""One dispatcher is active at a time; it goes on after troubles, and tells of them."""

import threading
from typing import Any

import pytest
from kombu.exceptions import OperationalError as BrokerError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from service.dispatcher import Dispatcher, Trouble
from service.jobs import leadership, outbox, service
from service.platform.database import Database
from service.platform.settings import Settings
from tests.fixtures.jobs import queued
from tests.fixtures.waiting import eventually
from tests.service.jobs.test_dispatcher import Recorder, add_worker


def test_one_dispatcher_is_active_and_another_takes_over(
    database: Database, tenant: str, settings: Settings
) -> None:
    add_worker(database)
    add_worker(database, number=2)
    brokers = [Recorder(), Recorder()]
    stops = [threading.Event(), threading.Event()]
    threads = [
        threading.Thread(target=Dispatcher(database, broker, settings).run, args=(stop,))
        for broker, stop in zip(brokers, stops, strict=True)
    ]
    try:
        threads[0].start()
        first = queued(database, tenant)
        eventually(lambda: brokers[0].published == [(first, "train")])
        threads[1].start()
        second = queued(database, tenant)
        eventually(lambda: len(brokers[0].published) == 2)
        assert brokers[1].published == []
        stops[0].set()
        threads[0].join()
        with database.write() as session:
            service.cancel(session, second)
        third = queued(database, tenant)
        eventually(lambda: brokers[1].published == [(third, "train")])
    finally:
        for stop, thread in zip(stops, threads, strict=True):
            stop.set()
            if thread.is_alive():
                thread.join()


def test_it_goes_on_after_a_fault_of_the_pool(
    database: Database, tenant: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which is not the driver's: no free connection within the time."""
    add_worker(database)
    broker, stop, faults = Recorder(), threading.Event(), [PoolTimeoutError("QueuePool limit")]
    idle_slots = outbox.idle_slots

    def seldom(*arguments: Any, **options: Any) -> int:
        if faults:
            raise faults.pop()
        return idle_slots(*arguments, **options)

    monkeypatch.setattr(outbox, "idle_slots", seldom)
    thread = threading.Thread(target=Dispatcher(database, broker, settings).run, args=(stop,))
    thread.start()
    try:
        job_id = queued(database, tenant)
        eventually(lambda: broker.published == [(job_id, "train")])
    finally:
        stop.set()
        thread.join()
    assert faults == []


def test_a_turn_that_ends_badly_is_free_for_another(database: Database, settings: Settings) -> None:
    broker = Recorder()
    broker.away = True
    with pytest.raises(BrokerError), leadership.turn(database, settings):
        broker.publish("job_1", "train")
    other = Database(settings)

    def free() -> bool:
        with leadership.turn(other, settings) as check:
            return check is not None

    try:
        eventually(free)  # the server notices a moment later that the connection is closed
    finally:
        other.dispose()


def test_each_trouble_is_told_of_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = 100.0
    trouble = Trouble(lambda: now)
    with caplog.at_level("INFO", logger="service.dispatcher"):
        trouble.over("the broker")
        for _ in range(59):
            trouble.tell("the database", "refused\nand much more")
            now += 1
        trouble.tell("the broker", "")
        now += 60
        trouble.tell("the broker", "gone")
        trouble.over("the broker")
        trouble.over("the broker")
    assert caplog.messages == [
        "trouble with the database, trying again: refused",
        "trouble with the broker, trying again: no reason given",
        "trouble with the broker, trying again: gone",
        "trouble with the broker is over",
    ]
