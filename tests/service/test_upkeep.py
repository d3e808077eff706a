"""What is old goes beside dispatching, few rows at a time; what is away holds nothing else up."""

import threading
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import event, func, insert, select, update

from service.artifacts import collection
from service.dispatcher import Dispatcher
from service.jobs import service
from service.jobs.tables import Job, JobEvent
from service.platform import thinning
from service.platform.clock import db_now
from service.platform.database import Database
from service.platform.ids import new_id
from service.platform.settings import Settings
from service.upkeep import Upkeep
from service.webhooks.tables import Delivery, Webhook
from tests.fixtures.jobs import queued
from tests.fixtures.waiting import eventually
from tests.service.jobs.test_dispatcher import Recorder, add_worker


def with_old_events(database: Database, tenant: str, number: int) -> str:
    """A job that ended long ago and has so many events more than the three that it made."""
    job_id = queued(database, tenant)
    row = {"job_id": job_id, "tenant_id": tenant, "type": "job.log", "data": {}}
    with database.write() as session:
        service.cancel(session, job_id)
        session.execute(update(Job).values(finished_at=1))
        session.execute(insert(JobEvent), [{"seq": seq, **row} for seq in range(10, 10 + number)])
    return job_id


def count_events(database: Database, job_id: str) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).where(JobEvent.job_id == job_id)) or 0


def removals(database: Database, table: str = "job_events") -> list[int]:
    """The number of the table's rows that each transaction removes, from now on."""
    removed: list[int] = []

    @event.listens_for(database.engine, "after_cursor_execute")
    def _executed(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith(f"DELETE FROM {table}"):
            connection.info["removed"] = connection.info.get("removed", 0) + cursor.rowcount

    @event.listens_for(database.engine, "commit")
    def _committed(connection: Any) -> None:
        if rows := connection.info.pop("removed", 0):
            removed.append(rows)

    return removed


def test_hints_go_out_while_old_events_go(
    database: Database, tenant: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, out = 2_100, threading.Event()
    # The breath after some rows is held until the hint is out.
    monkeypatch.setattr(thinning, "time", SimpleNamespace(sleep=lambda _: out.wait()))
    old, removed = with_old_events(database, tenant, number), removals(database)
    add_worker(database)
    broker, stop = Recorder(), threading.Event()
    keeping = settings.model_copy(update={"events_kept_days": 1.0})
    thread = threading.Thread(target=Dispatcher(database, broker, keeping).run, args=(stop,))
    thread.start()
    try:
        eventually(lambda: removed)
        job_id = queued(database, tenant)
        eventually(lambda: broker.published == [(job_id, "train")])
        assert removed == [thinning.AT_ONCE]
        out.set()
        eventually(lambda: count_events(database, old) == 1)
    finally:
        out.set()
        stop.set()
        thread.join()
    assert sum(removed) == number + 2
    assert max(removed) <= thinning.AT_ONCE


def test_what_fails_does_not_keep_the_rest(
    database: Database, tenant: str, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    old = with_old_events(database, tenant, 1)
    settings.upload_root.mkdir(parents=True)
    (settings.upload_root / "gone").symlink_to("nowhere")  # as a file that vanishes while it is looked at
    Upkeep(database, settings.model_copy(update={"events_kept_days": 1.0})).forget()
    assert [message.split(":")[0] for message in caplog.messages] == ["upkeep put off"]
    assert count_events(database, old) == 1


def test_settled_messages_go_few_at_a_time(database: Database, tenant: str, settings: Settings) -> None:
    """Those that are still to be sent stay, however old, and so do new ones."""
    webhook = Webhook(id=new_id("whk"), tenant_id=tenant, url="", events=[], salt="", secret_digest="")
    message = {"tenant_id": tenant, "webhook_id": webhook.id, "type": "", "data": {}}
    settled = {"due_at": None, "created_at": 1, **message}
    with database.write() as session:
        session.add(webhook)
        session.flush()
        many = insert(Delivery).execution_options(render_nulls=True)
        session.execute(many, [{"id": f"dlv_{n}", **settled} for n in range(1_200)])
        session.execute(insert(Delivery).values(id="dlv_waits", **{**settled, "due_at": 1}))
        session.execute(insert(Delivery).values(id="dlv_new", **{**settled, "created_at": db_now()}))
    removed = removals(database, "webhook_deliveries")
    Upkeep(database, settings).forget()
    assert removed == [500, 500, 200]
    with database.read() as session:
        assert sorted(session.scalars(select(Delivery.id))) == ["dlv_new", "dlv_waits"]


def test_what_killed_processes_left_half_stored_goes_after_an_hour(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether or not garbage is collected: it never was a stored file."""
    assert settings.gc_grace_hours is None
    incoming = settings.artifact_root / "incoming"
    incoming.mkdir(parents=True)
    (incoming / "half").write_bytes(b"half")
    Upkeep(database, settings).forget()
    assert list(incoming.iterdir()) != []
    monkeypatch.setattr(collection, "LEFTOVER_S", -1.0)
    Upkeep(database, settings).forget()
    assert list(incoming.iterdir()) == []
