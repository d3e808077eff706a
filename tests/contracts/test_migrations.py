"""Migrations: up, down, no drift, many starters at once; on each kind of database."""

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text

from service import migrate
from service.platform.database import Database
from service.platform.errors import DatabaseForeignError
from service.platform.settings import Settings
from service.tables import metadata
from tests.fixtures.database import postgres_answers, postgres_url, settings_for

KINDS = pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])


@pytest.fixture
def blank(kind: str, tmp_path: Path) -> Iterator[Settings]:
    """Settings of a database without tables."""
    if kind == "sqlite":
        yield settings_for(tmp_path)
        return
    if not postgres_answers():
        (pytest.fail if os.environ.get("CI") else pytest.skip)("PostgreSQL does not answer on 127.0.0.1")
    with postgres_url() as url:
        yield settings_for(tmp_path, database_url=url)


@contextmanager
def opened(settings: Settings) -> Iterator[Database]:
    database = Database(settings)
    try:
        yield database
    finally:
        database.dispose()


def tables(settings: Settings) -> set[str]:
    with opened(settings) as database:
        return set(inspect(database.engine).get_table_names())


@KINDS
def test_up_down_up(blank: Settings) -> None:
    migrate.upgrade(blank)
    assert tables(blank) == set(metadata.tables) | {"alembic_version"}
    migrate.downgrade(blank, "base")
    assert tables(blank) == {"alembic_version"}
    migrate.upgrade(blank)
    assert tables(blank) == set(metadata.tables) | {"alembic_version"}


@KINDS
def test_the_migrations_lead_to_the_declared_tables(blank: Settings) -> None:
    migrate.upgrade(blank)
    with opened(blank) as database:
        assert migrate.current(database.engine) == migrate.head()
        with database.engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, metadata) == []


@KINDS
def test_many_starters_at_once(blank: Settings) -> None:
    context = multiprocessing.get_context("spawn")
    starters = [context.Process(target=migrate.upgrade, args=(blank,)) for _ in range(3)]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join(60)
    assert [starter.exitcode for starter in starters] == [0, 0, 0]
    with opened(blank) as database, database.read() as session:
        assert session.execute(text("SELECT name FROM tenants")).scalars().all() == ["default"]


@KINDS
def test_a_database_of_a_newer_version_is_left_alone(blank: Settings) -> None:
    migrate.upgrade(blank)
    with opened(blank) as database, database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = 'from_the_future'"))
    with pytest.raises(DatabaseForeignError, match="from_the_future"):
        migrate.upgrade(blank)


def test_foreign_keys_are_enforced_after_an_upgrade(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    migrate.upgrade(settings)
    with opened(settings) as database, database.read() as session:
        assert session.execute(text("PRAGMA foreign_keys")).scalar() == 1
