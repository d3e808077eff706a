"""A test's database is its own: it holds nothing of another test, whichever came first."""

import threading
from collections.abc import Iterator
from contextlib import suppress

import psycopg
import pytest
from sqlalchemy import func, make_url, select

from service.platform.database import Database
from service.platform.settings import Settings
from service.tables import metadata
from tests.fixtures.lending import Lender, connected, schema_of
from tests.fixtures.rows import Rows


def rows(database: Database) -> dict[str, int]:
    """How many rows there are in each table that has any."""
    with database.engine.connect() as connection:
        found = {
            t.name: connection.scalar(select(func.count()).select_from(t)) for t in metadata.sorted_tables
        }
    return {name: count for name, count in found.items() if count}


@pytest.mark.parametrize("turn", ["one", "other"])
def test_what_one_test_leaves_the_other_does_not_see(settings: Settings, turn: str) -> None:
    """Both leave rows, in a table that refuses their removal too; neither asks for an emptied database."""
    database = Database(settings)
    assert rows(database) == {"tenants": 1}, "the default tenant, which the migrations make"
    with database.engine.begin() as connection:
        made = Rows(connection, metadata)
        tenant_id = made.tenant()
        for table in ("jobs", "api_keys", "audit_events"):
            made.insert(table, tenant_id)
    assert rows(database)["audit_events"] == 1
    database.dispose()


def itself(connection: psycopg.Connection) -> int:
    (found,) = connection.execute(
        "SELECT oid::int FROM pg_database WHERE datname = current_database()"
    ).fetchone() or (0,)
    return int(found)


@pytest.mark.services
class TestLending:
    @pytest.fixture
    def lender(self, postgres_template: str) -> Iterator[Lender]:
        made = Lender(postgres_template)
        yield made
        made.close()

    def test_whoever_had_it_before_reaches_it_no_more(self, lender: Lender) -> None:
        with lender.lend() as url:
            earlier = connected(make_url(url).database)
            first = itself(earlier)
        with lender.lend() as again:
            with pytest.raises(psycopg.OperationalError, match="terminat"):
                earlier.execute("SELECT 1")
            with pytest.raises(psycopg.OperationalError, match="does not exist"):
                connected(make_url(url).database)
            with connected(make_url(again).database) as connection:
                assert itself(connection) == first
        earlier.close()

    def test_who_connects_again_and_again_cannot_keep_it(self, lender: Lender) -> None:
        ended = threading.Event()

        def insist(name: str | None) -> None:
            while not ended.is_set():
                with suppress(psycopg.OperationalError):
                    connected(name).execute("SELECT pg_sleep(60)")

        for _ in range(3):
            with lender.lend() as url:
                name = make_url(url).database
                threads = [threading.Thread(target=insist, args=(name,), daemon=True) for _ in range(4)]
                for thread in threads:
                    thread.start()
            ended.set()
            for thread in threads:
                thread.join()
            ended.clear()

    def test_one_with_other_tables_is_not_lent_again(self, lender: Lender) -> None:
        with lender.lend() as url, connected(make_url(url).database) as connection:
            first = itself(connection)
            connection.execute("CREATE TABLE others (id int)")
        with lender.lend() as url, connected(make_url(url).database) as connection:
            assert itself(connection) != first

    def test_every_change_of_its_tables_is_seen(self, postgres_database: str) -> None:
        with connected(make_url(postgres_database).database) as connection:
            before = schema_of(connection)
            for change in (
                "DROP INDEX ix_jobs_state",
                "ALTER TABLE jobs ALTER COLUMN kind SET DEFAULT 'train'",
                "ALTER TABLE jobs ADD CHECK (kind <> '')",
                "ALTER TABLE audit_events DISABLE TRIGGER USER",
                "CREATE OR REPLACE FUNCTION revise() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
                f"ALTER DATABASE {connection.info.dbname} SET work_mem = 64",
            ):
                with connection.transaction(force_rollback=True):
                    connection.execute(change)
                    assert schema_of(connection) != before, change
            assert schema_of(connection) == before
