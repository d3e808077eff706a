"""The database itself keeps tenants apart: no row names a row of another tenant.

Nothing here lists tables. A new one is covered by being declared, and fails when a key of it names a
tenant's row by the id alone.
"""

from collections.abc import Iterator
from contextlib import suppress

from sqlalchemy import ForeignKeyConstraint, Table
from sqlalchemy.exc import IntegrityError

from service.platform.database import Base, Database, TenantOwned
from service.tables import metadata
from tests.fixtures.rows import Rows

# Columns that are named like references, and why no key is possible or needed.
NO_KEYS = {
    "artifact_links.owner_id": "a model, module, composition or dataset",
    "labels.owner_id": "a model, module or composition",
    "metrics.owner_id": "a model, module or composition",
    "uploads.owner_id": "what the file is for",
    "audit_events.tenant_id": "told also of tenants that are gone",
    "audit_events.key_id": "told also of keys that are gone",
    "audit_events.request_id": "no row",
    "jobs.request_id": "no row",
    "job_attempts.worker_id": "workers are nobody's, and go",
}
OWNED = {
    mapper.local_table.name: mapper.local_table
    for mapper in Base.registry.mappers
    if issubclass(mapper.class_, TenantOwned) and isinstance(mapper.local_table, Table)
}


def keys_between_tenants() -> Iterator[tuple[Table, ForeignKeyConstraint]]:
    for table in metadata.sorted_tables:
        for key in table.foreign_key_constraints:
            if key.referred_table.name in OWNED:
                yield table, key


def columns(key: ForeignKeyConstraint) -> tuple[list[str], list[str]]:
    return list(key.column_keys), [element.column.name for element in key.elements]


class TestDeclarations:
    def test_every_table_with_a_tenant_is_hidden_from_others(self) -> None:
        with_tenant = {table.name for table in metadata.sorted_tables if "tenant_id" in table.columns}
        assert with_tenant == set(OWNED), "let the row's class be TenantOwned"

    def test_what_names_a_tenants_row_is_the_tenants_own(self) -> None:
        for table, key in keys_between_tenants():
            assert table.name in OWNED, f"{table.name} needs a tenant_id: it names {key.referred_table}"

    def test_keys_have_the_tenant_in_them(self) -> None:
        found = list(keys_between_tenants())
        assert len(found) >= 24
        for table, key in found:
            own, theirs = columns(key)
            assert (own[0], theirs) == ("tenant_id", ["tenant_id", "id"]), f"{table}: use tenant_reference"

    def test_every_tenant_exists(self) -> None:
        """By a key to the tenants, or to something that has one and is always there."""
        for table in OWNED.values():
            sure = {
                key.referred_table.name
                for key in table.foreign_key_constraints
                if not any(column.nullable for column in key.columns)
            }
            known = f"{table.name}.tenant_id" in NO_KEYS
            assert known or sure & {"tenants", *OWNED}, f"{table}: a key to the tenants"

    def test_every_other_id_is_explained(self) -> None:
        named = {
            f"{table.name}.{column.name}"
            for table in OWNED.values()
            for column in table.columns
            if column.name.endswith("_id") and not column.foreign_keys
        }
        by_way = {f"{t.name}.tenant_id" for t in OWNED.values()} - {"audit_events.tenant_id"}
        assert named - by_way == set(NO_KEYS), "declare a key with tenant_reference, or say why there is none"


def test_a_row_that_names_another_tenants_row_is_refused(database: Database) -> None:
    taken = []
    with database.engine.execution_options(write=True).connect() as connection:
        rows = Rows(connection, metadata)
        own, other = rows.tenant(), rows.tenant()
        for table, key in keys_between_tenants():
            (_, column), _ = columns(key)
            rows.insert(table.name, own)
            foreign = rows.insert(key.referred_table.name, other)["id"]
            values = rows.describe(table, own) | {column: foreign}
            with suppress(IntegrityError), connection.begin_nested():
                connection.execute(table.insert().values(values))
                taken.append(f"{table.name}.{column}")
        connection.rollback()
    assert taken == []
