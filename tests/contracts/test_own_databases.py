"""A test's database is its own: it holds nothing of another test, whichever came first."""

import pytest
from sqlalchemy import func, select

from service.platform.database import Database
from service.platform.settings import Settings
from service.tables import metadata
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
