"""Models, modules and compositions have a revision: another number whenever what is told of them changes."""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

revision = "20261126_050000"
down_revision = "20261126_041000"
branch_labels = None
depends_on = None

_OWNERS = ("models", "modules", "compositions")
# What is told of an owner beside its own row, and the column that names it.
_PARTS = {
    "labels": "owner_id",
    "metrics": "owner_id",
    "artifact_links": "owner_id",
    "model_aliases": "model_id",
}
_NAMED = {"owner_id": _OWNERS, "model_id": ("models",)}
_EVENTS = {"INSERT": ("NEW",), "UPDATE": ("OLD", "NEW"), "DELETE": ("OLD",)}
# A random number, not a count: a database that is set back to an earlier state cannot come to a number again.
_REVISE = """
CREATE FUNCTION revise() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.revision := (random() * 9007199254740991)::bigint;
    RETURN NEW;
END $$
"""
# A row whose xmin is this transaction was written by it: it has a new revision already, or is new itself.
_REVISE_OWNER = """
CREATE FUNCTION revise_by_{column}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    {updates}
    RETURN NULL;
END $$
"""
_UPDATE = (
    "UPDATE {table} SET revision = 0 WHERE id IN (OLD.{column}, NEW.{column}) "
    "AND xmin <> pg_current_xact_id()::xid;"
)
_ROW = "CREATE TRIGGER {table}_revised BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION revise()"
_PART = (
    "CREATE TRIGGER {part}_revises AFTER INSERT OR UPDATE OR DELETE ON {part} "
    "FOR EACH ROW EXECUTE FUNCTION revise_by_{column}()"
)
# SQLite builds a table anew to alter it, and drops its triggers with the old one: a later migration that
# alters one of these tables has to make its triggers again.
_SQLITE_ROW = (
    "CREATE TRIGGER {table}_revised AFTER UPDATE ON {table} FOR EACH ROW WHEN NEW.revision = OLD.revision "
    "BEGIN UPDATE {table} SET revision = random() WHERE id = NEW.id; END"
)
_SQLITE_UPDATE = "UPDATE {table} SET revision = random() WHERE id IN ({named});"
_SQLITE_PART = "CREATE TRIGGER {part}_{name}_revises AFTER {event} ON {part} FOR EACH ROW BEGIN {updates} END"


def upgrade() -> None:
    for table in _OWNERS:
        column: sa.Column[int] = sa.Column("revision", sa.BigInteger(), nullable=False, server_default="0")
        op.add_column(table, column)
    statements = _in_sqlite() if op.get_bind().dialect.name == "sqlite" else _in_postgresql()
    for statement in statements:
        op.execute(statement)


def _in_sqlite() -> Iterator[str]:
    for table in _OWNERS:
        yield _SQLITE_ROW.format(table=table)
    for part, column in _PARTS.items():
        for event, rows in _EVENTS.items():
            named = ", ".join(f"{row}.{column}" for row in rows)
            updates = " ".join(_SQLITE_UPDATE.format(table=table, named=named) for table in _NAMED[column])
            yield _SQLITE_PART.format(part=part, event=event, name=event.lower(), updates=updates)


def _in_postgresql() -> Iterator[str]:
    yield _REVISE
    for table in _OWNERS:
        yield _ROW.format(table=table)
    for column, owners in _NAMED.items():
        updates = "\n    ".join(_UPDATE.format(table=table, column=column) for table in owners)
        yield _REVISE_OWNER.format(column=column, updates=updates)
    for part, column in _PARTS.items():
        yield _PART.format(part=part, column=column)


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        triggers = [f"{part}_{event.lower()}_revises" for part in _PARTS for event in _EVENTS]
        for trigger in [*triggers, *(f"{table}_revised" for table in _OWNERS)]:
            op.execute(f"DROP TRIGGER {trigger}")
    else:
        for function in ("revise", *(f"revise_by_{column}" for column in _NAMED)):
            op.execute(f"DROP FUNCTION {function}() CASCADE")  # and the triggers that call it
    for table in _OWNERS:
        op.drop_column(table, "revision")
