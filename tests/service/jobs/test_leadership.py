"""Two dispatcher processes on PostgreSQL: the other one takes over when the first is killed or hangs."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from service.jobs.tables import ActiveDispatcher
from service.platform.database import Database
from service.platform.settings import Settings, environment_of
from service.queue import prepare_broker
from tests.fixtures.database import settings_for
from tests.fixtures.waiting import eventually

pytestmark = pytest.mark.services


@pytest.fixture
def settings(tmp_path: Path, postgres_database: str) -> Settings:
    """PostgreSQL only: the lock on SQLite's file goes with its process, whatever the state of that."""
    return settings_for(tmp_path, database_url=postgres_database)


@dataclass
class Pair:
    """Two dispatchers, the first of which was active first."""

    first: subprocess.Popen[bytes]
    second: subprocess.Popen[bytes]
    log: Path
    database: Database

    def active(self) -> int | None:
        """The process that said last that it dispatches."""
        with self.database.read() as session:
            row = session.get(ActiveDispatcher, 1)
            return row.pid if row else None

    def seconds_until_the_second(self) -> float:
        began = time.monotonic()
        eventually(lambda: self.active() == self.second.pid, 60)
        return time.monotonic() - began


@pytest.fixture
def pair(settings: Settings, database: Database, tmp_path: Path) -> Iterator[Pair]:
    prepare_broker(settings)
    log = tmp_path / "first.log"
    with started(settings, log) as first:
        made = Pair(first, first, log, database)
        eventually(lambda: made.active() == first.pid)
        with started(settings, tmp_path / "second.log") as made.second:
            eventually(lambda: (tmp_path / "second.log").read_text().count("waiting"))
            yield made


@contextmanager
def started(settings: Settings, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "service.dispatcher"]
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=environment_of(settings), stdout=out, stderr=out)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_another_takes_over_from_one_that_is_killed(pair: Pair) -> None:
    pair.first.kill()
    assert pair.seconds_until_the_second() < 10


def test_another_takes_over_from_one_that_hangs_and_that_does_not_act_when_it_wakes(pair: Pair) -> None:
    os.kill(pair.first.pid, signal.SIGSTOP)
    assert pair.seconds_until_the_second() < 25
    os.kill(pair.first.pid, signal.SIGCONT)
    eventually(lambda: "waiting" in pair.log.read_text())
    # It had been about to tell that it dispatches, five seconds having passed.
    assert pair.active() == pair.second.pid
