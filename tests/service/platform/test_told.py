"""What is read without the ORM: whose rows it tells of."""

import pytest
from sqlalchemy import insert, select

from service.platform.among import Told
from service.platform.database import Database
from service.registry.tables import Label
from service.tenants.service import ensure_tenant

_label = Label.__table__.c
LABELS = Told(select(_label.owner_id, _label.value).order_by(_label.value), _label.owner_id)


@pytest.fixture
def other(database: Database, tenant: str) -> str:
    """Another tenant; both have a label at the same owner's id."""
    with database.write() as session:
        second = ensure_tenant(session, "other")
        rows = [(tenant, "mod_1", "own"), (tenant, "mod_2", "second"), (second, "mod_1", "theirs")]
        for tenant_id, owner_id, value in rows:
            session.execute(insert(Label).values(_row(tenant_id, owner_id, value)))
    return second


def test_a_tenants_session_is_told_of_its_own_rows_and_one_of_nobody_of_all(
    database: Database, tenant: str, other: str
) -> None:
    for tenant_id, values in ((tenant, ["own"]), (other, ["theirs"]), (None, ["own", "theirs"])):
        with database.read(tenant_id) as session:
            assert [value for _, value in LABELS.rows(session, ["mod_1", "mod_3"])] == values
            assert LABELS.rows(session, []) == []


def test_what_the_session_added_is_told(database: Database, tenant: str) -> None:
    with database.write(tenant) as session:
        session.add(Label(**_row(tenant, "mod_9", "new")))
        assert LABELS.rows(session, ["mod_9"]) == [("mod_9", "new")]


def _row(tenant_id: str, owner_id: str, value: str) -> dict[str, str]:
    return {"tenant_id": tenant_id, "owner_id": owner_id, "kind": "mod", "key": "tag", "value": value}
