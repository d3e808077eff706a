"""Fixtures of every tier. Services that are not there skip their tests with a reason, except in CI."""

import os
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import pytest

from service.platform.database import Database
from service.platform.settings import Settings
from tests.fixtures.database import (
    copy_sqlite,
    default_tenant,
    migrated,
    postgres_answers,
    postgres_url,
    settings_for,
)
from tests.fixtures.lending import Lender
from tests.fixtures.redis import redis_answers, redis_prefix

if "PYTEST_XDIST_WORKER" in os.environ:
    # A process for each core: with a thread for each core in every one of them, torch takes twice the time.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


# Their files wait for processes more than they compute.
_WAITING = (
    "tests/e2e/", "tests/worker/", "tests/service/cli/", "tests/service/client/",
    "tests/service/test_fuzzing.py", "tests/service/jobs/test_leadership.py",
    "tests/service/webhooks/test_sending.py",
)  # fmt: skip


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """File by file: chaos, the longest, first; then in turns one that waits and one that computes.

    Side by side they keep the cores busy, and none that waits is left for the end, beside idle cores.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    files: dict[str, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.nodeid.partition("::")[0], []).append(item)
    waiting = [name for name in files if name.startswith(_WAITING)]
    others = [name for name in files if not name.startswith((*_WAITING, "tests/chaos/"))]
    first = [name for name in files if name.startswith("tests/chaos/")]
    turns = [name for turn in zip_longest(waiting, others) for name in turn if name is not None]
    items[:] = [item for name in first + turns for item in files[name]]


def _require(present: bool, name: str) -> None:
    if present:
        return
    if os.environ.get("CI"):
        pytest.fail(f"{name} does not answer on 127.0.0.1")
    pytest.skip(f"{name} does not answer on 127.0.0.1")


@pytest.fixture
def postgres() -> Iterator[str]:
    """The URL of an empty PostgreSQL database without tables."""
    _require(postgres_answers(), "PostgreSQL")
    with postgres_url() as url:
        yield url


@pytest.fixture
def redis() -> Iterator[str]:
    """A prefix for keys of a Redis that answers."""
    _require(redis_answers(), "Redis")
    with redis_prefix() as prefix:
        yield prefix


@pytest.fixture(scope="session")
def postgres_template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of a migrated PostgreSQL database to copy."""
    _require(postgres_answers(), "PostgreSQL")
    with postgres_url() as url:
        settings = settings_for(tmp_path_factory.mktemp("postgres"), database_url=url)
        with migrated(settings):
            pass
        yield url.rpartition("/")[2]


@pytest.fixture(scope="session")
def postgres_databases(postgres_template: str) -> Iterator[Lender]:
    """Migrated PostgreSQL databases to borrow."""
    lender = Lender(postgres_template)
    yield lender
    lender.close()


@pytest.fixture
def postgres_database(postgres_databases: Lender) -> Iterator[str]:
    """The URL of a migrated PostgreSQL database that this test alone has."""
    with postgres_databases.lend() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings on each kind of database: newly migrated, and this test's alone."""
    if request.param == "postgresql":
        return settings_for(tmp_path, database_url=request.getfixturevalue("postgres_database"))
    settings = settings_for(tmp_path)
    copy_sqlite(settings)
    return settings


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    """An open database of each kind."""
    opened = Database(settings)
    yield opened
    opened.dispose()


@pytest.fixture
def tenant(database: Database) -> str:
    """The default tenant's id."""
    return default_tenant(database)
