"""The broker of the embedded mode: every message arrives once and whole, with readers in its way."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Empty

import pytest
from kombu import Connection

from service.dispatcher import Dispatcher
from service.folder_broker import Channel
from service.jobs.tables import Worker
from service.platform.database import Database
from service.platform.settings import Settings
from service.queue import CeleryPublisher, create_celery, prepare_broker
from tests.fixtures.database import copy_sqlite, default_tenant, settings_for
from tests.fixtures.jobs import queued
from tests.fixtures.waiting import eventually

MESSAGES = 300


def test_what_killed_processes_left_goes_at_the_next_start(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = settings.broker_dir / "messages"
    for suffix in ("draft", "taken", "msg"):
        (folder / f"1_a.train.{suffix}").write_text("{}")
    prepare_broker(settings)
    assert len(list(folder.iterdir())) == 3  # somebody may be at it
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 120)
    prepare_broker(settings)
    assert [path.name for path in folder.iterdir()] == ["1_a.train.msg"]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = settings_for(tmp_path)
    prepare_broker(made)
    return made


@pytest.fixture
def connection(settings: Settings) -> Iterator[Connection]:
    with create_celery(settings) as app, app.connection_for_read() as opened:
        yield opened


@pytest.mark.parametrize("content", [b"", b'{"body": ', b"\xff"])
def test_a_message_that_was_cut_short_is_dropped(
    connection: Connection, settings: Settings, content: bytes
) -> None:
    folder = settings.broker_dir / "messages"
    (folder / "1_a.train.msg").write_bytes(content)
    (folder / "2_b.train.msg").write_text('{"whole": 1}')
    channel = connection.default_channel
    assert isinstance(channel, Channel)
    assert channel._get("train") == {"whole": 1}
    assert list(folder.iterdir()) == []


def test_messages_arrive_once_and_whole_while_they_are_looked_for(
    connection: Connection, settings: Settings
) -> None:
    channel = connection.default_channel
    assert isinstance(channel, Channel)
    received: list[int] = []
    wrong: list[Exception] = []
    over = threading.Event()

    def read() -> None:
        try:
            while True:
                last = over.is_set()
                try:
                    received.append(channel._get("train")["number"])
                except Empty:
                    if last:
                        return
        except Exception as error:  # noqa: BLE001 - the test tells whatever it was
            wrong.append(error)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(MESSAGES):
        channel._put("train", {"number": number, "padding": "x" * 2000})
    channel._put("short", {"number": -1})
    over.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert sorted(received) == list(range(MESSAGES))
    assert channel._get("short") == {"number": -1}
    assert list((settings.broker_dir / "messages").iterdir()) == []


def test_a_folder_that_is_gone_is_waited_for(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="service.dispatcher")
    copy_sqlite(settings)
    database, folder, stop = Database(settings), settings.broker_dir / "messages", threading.Event()
    with create_celery(settings) as app:
        dispatcher = Dispatcher(database, CeleryPublisher(app), settings)
        thread = threading.Thread(target=dispatcher.run, args=(stop,))
        thread.start()
        try:
            eventually(lambda: "active" in caplog.messages)
            folder.rmdir()
            folder.touch()  # no folder can be made in its place
            queued(database, default_tenant(database))
            with database.write() as session:
                session.add(Worker(id="wrk_1", hostname="h", pid=1, queues=["train"]))
            eventually(lambda: any("trouble with the broker" in message for message in caplog.messages))
            folder.unlink()
            eventually(lambda: any(folder.glob("*.train.msg")))
            assert thread.is_alive()
        finally:
            stop.set()
            thread.join()
            database.dispose()
