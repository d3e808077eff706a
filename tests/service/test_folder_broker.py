"""The broker of the embedded mode: every message arrives once and whole, with readers in its way."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Empty

import pytest
from kombu import Connection

from service.folder_broker import Channel
from service.platform.settings import Settings
from service.queue import create_celery, prepare_broker
from tests.fixtures.database import settings_for

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
