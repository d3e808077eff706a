"""Fixtures of every tier. Services that are not there skip their tests with a reason, except in CI."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.platform.database import Database
from service.platform.settings import Settings
from tests.fixtures.database import (
    copy_sqlite,
    default_tenant,
    empty,
    migrated,
    postgres_answers,
    postgres_url,
    settings_for,
)
from tests.fixtures.redis import redis_answers, redis_prefix


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
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A migrated SQLite database to copy."""
    settings = settings_for(tmp_path_factory.mktemp("template"))
    with migrated(settings) as database, database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    return settings


@pytest.fixture(scope="session")
def postgres_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a migrated PostgreSQL database for the whole run."""
    _require(postgres_answers(), "PostgreSQL")
    with postgres_url() as url:
        settings = settings_for(tmp_path_factory.mktemp("postgres"), database_url=url)
        with migrated(settings):
            yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings on each kind of database, which is migrated and empty."""
    if request.param == "postgresql":
        return settings_for(tmp_path, database_url=request.getfixturevalue("postgres_database"))
    settings = settings_for(tmp_path)
    copy_sqlite(request.getfixturevalue("sqlite_template"), settings)
    return settings


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    """An open database of each kind."""
    opened = Database(settings)
    empty(opened)
    yield opened
    opened.dispose()


@pytest.fixture
def tenant(database: Database) -> str:
    """The default tenant's id."""
    return default_tenant(database)
