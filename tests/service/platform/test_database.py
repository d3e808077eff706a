"""Connections that die while nobody uses them."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from service.platform import database as module
from service.platform.database import Database
from tests.fixtures.database import settings_for


@pytest.fixture
def database(postgres_database: str, tmp_path: Path) -> Iterator[Database]:
    opened = Database(settings_for(tmp_path, database_url=postgres_database))
    yield opened
    opened.dispose()


@pytest.mark.services
def test_a_connection_that_died_idle_is_replaced(
    database: Database, postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ALIVE_S", 0.0)  # every connection counts as idle
    with database.read() as session:
        lost = session.scalar(text("SELECT pg_backend_pid()"))
    with psycopg.connect(postgres_database.replace("+psycopg", ""), autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(%s, 5000)", (lost,))
    with database.write() as session:
        assert session.scalar(text("SELECT pg_backend_pid()")) != lost


@pytest.mark.services
def test_a_reader_holds_no_transaction_open(database: Database) -> None:
    with database.read() as session:
        session.execute(text("SELECT 1"))
        driven = session.connection().connection.driver_connection
        assert driven is not None
        assert driven.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
