"""A worker's context in this process; the runners it starts are real."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.platform.database import Database
from service.platform.settings import Settings
from tests.fixtures.database import copy_sqlite, settings_for
from worker.context import WorkerContext, open_context


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """SQLite only: what depends on the kind of database is tested with the service."""
    made = settings_for(tmp_path, cancel_grace_s=20.0, ready_runner=False)
    copy_sqlite(made)
    return made


class Drain:
    """What SIGTERM to a worker sets."""

    requested = False

    def __call__(self) -> bool:
        return self.requested


@pytest.fixture
def drain() -> Drain:
    return Drain()


@pytest.fixture
def context(settings: Settings, database: Database, drain: Drain) -> Iterator[WorkerContext]:
    opened = open_context(settings, ["train"], drain)
    yield opened
    opened.runners.close()
    opened.database.dispose()
