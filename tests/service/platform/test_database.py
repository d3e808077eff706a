"""Connections that die while nobody uses them."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from service.platform import database as module
from service.platform.database import Database, is_away
from service.platform.problems import database_refusal
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
def test_a_server_that_takes_no_writes_is_away_and_one_that_refuses_a_row_is_not(database: Database) -> None:
    for before, away in (("SET TRANSACTION READ ONLY", True), ("SELECT 1", False)):
        with database.write() as session:
            session.execute(text(before))
            with pytest.raises(DBAPIError) as caught:
                session.execute(text("INSERT INTO tenants (id) VALUES (NULL)"))
            session.rollback()
        assert is_away(caught.value) is away
        assert (database_refusal(caught.value) is not None) is away  # 503, or our own fault


@pytest.mark.services
def test_a_reader_holds_no_transaction_open(database: Database) -> None:
    with database.read() as session:
        session.execute(text("SELECT 1"))
        driven = session.connection().connection.driver_connection
        assert driven is not None
        assert driven.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


@pytest.mark.services
def test_statements_are_planned_for_their_values_and_run_by_one_process(database: Database) -> None:
    for name, value in (("plan_cache_mode", "force_custom_plan"), ("max_parallel_workers_per_gather", "0")):
        with database.read() as session:
            assert session.scalar(text(f"SHOW {name}")) == value
