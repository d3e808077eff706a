"""What lists are sorted and narrowed by stands beside each class and label too; every order has its index."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from alembic import op

from migrations.triggers import kept_triggers

revision = "20261126_110000"
down_revision = "20261126_100000"
branch_labels = None
depends_on = None

_ACCURACIES = ("accuracy_validation", "accuracy_test")
_SCORES = ("f1_validation", "f1_test", *_ACCURACIES)
_SCORED = {"models": _ACCURACIES, "modules": _SCORES, "compositions": _SCORES}
# Rows that something is found by: the column that names it, what that may be, and what they are asked by.
_FINDS = {
    "model_classes": ("model_id", ("models",), ("name",)),
    "module_classes": ("module_id", ("modules",), ("name",)),
    "composition_classes": ("composition_id", ("compositions",), ("name",)),
    "labels": ("owner_id", tuple(_SCORED), ("key", "value")),
}
_SELECT = "SELECT id, {columns} FROM {table}"
_UPDATE = "UPDATE {table} SET {values} FROM ({source}) AS found WHERE {condition}"
_RANK = "CASE f1_validation WHEN -1 THEN accuracy_validation ELSE f1_validation END"
_OLD_INDEXES = {
    "ix_model_classes_name": ("model_classes", "name"),
    "ix_module_classes_best": ("module_classes", "name", "score", "module_id", "parameters"),
    "ix_module_classes_smallest": ("module_classes", "name", "parameters", "module_id", "score"),
    "ix_module_classes_newest": ("module_classes", "name", "created_at", "module_id", "score"),
    "ix_composition_classes_name": ("composition_classes", "name", "composition_id"),
    "ix_labels_search": ("labels", "key", "value", "owner_id"),
    **{f"ix_{table}_tenant_created": (table, "created_at", "id") for table in _SCORED},
    **{
        f"ix_{table}_tenant_{column}": (table, column, "id")
        for table, scores in _SCORED.items()
        for column in ("parameters", *scores)
    },
}
# PostgreSQL: a function and a trigger for what comes in, another for what changes where it is copied from.
_COPY = """
CREATE FUNCTION copy_to_{table}() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    found record;
BEGIN
    FOR found IN SELECT * FROM ({source}) owners WHERE id = NEW.{column} LOOP
        {values}
    END LOOP;
    RETURN NEW;
END $$
"""
_COPIED = (
    "CREATE TRIGGER {table}_copied BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION copy_to_{table}()"
)
_SPREAD = """
CREATE FUNCTION copy_from_{table}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    {updates}
    RETURN NULL;
END $$
"""
_CHANGED = (
    "CREATE TRIGGER {table}_copied AFTER UPDATE OF {columns} ON {table} "
    "FOR EACH ROW EXECUTE FUNCTION copy_from_{table}()"
)
_SQLITE_COPIED = "CREATE TRIGGER {table}_copied AFTER INSERT ON {table} FOR EACH ROW BEGIN {update}; END"
_SQLITE_CHANGED = (
    "CREATE TRIGGER {table}_copied AFTER UPDATE OF {columns} ON {table} FOR EACH ROW BEGIN {updates} END"
)


def upgrade() -> None:
    for name, (table, *_) in _OLD_INDEXES.items():
        op.drop_index(name, table)
    with _quiet():
        for table in _FINDS:
            _add_columns(table)
            op.execute(_update(table, _source(table), f"found.id = {_FINDS[table][0]}"))
    for statement in _triggers():
        op.execute(statement)
    for name, table, columns, condition in _indexes():
        where = None if condition is None else sa.text(condition)
        op.create_index(name, table, columns, postgresql_where=where, sqlite_where=where)


@contextmanager
def _quiet() -> Iterator[None]:
    """Nothing that is told changes: there need be no other revision of it."""
    postgresql = op.get_bind().dialect.name == "postgresql"
    with kept_triggers():
        if postgresql:
            op.execute("ALTER TABLE labels DISABLE TRIGGER USER")
        yield
        if postgresql:
            op.execute("ALTER TABLE labels ENABLE TRIGGER USER")


def _scores(table: str) -> tuple[str, ...]:
    return _ACCURACIES if table == "model_classes" else _SCORES


def _copies(table: str) -> tuple[str, ...]:
    """The columns that are copied into a table."""
    rank = ("score",) if table == "module_classes" else ()
    return ("created_at", "parameters", *_scores(table), *rank)


def _source(table: str) -> str:
    """A statement that selects them, with the id, of everything the table may name."""
    return " UNION ALL ".join(_selected(table, owners) for owners in _FINDS[table][1])


def _selected(table: str, owners: str) -> str:
    known = {"created_at", "parameters", *_SCORED[owners]}
    told = {name: name if name in known else "-1" for name in _copies(table)} | (
        {"score": _RANK} if table == "module_classes" else {}
    )
    columns = ", ".join(f"{value} AS {name}" for name, value in told.items())
    return _SELECT.format(columns=columns, table=owners)


def _add_columns(table: str) -> None:
    present = ("parameters", "created_at") if table == "module_classes" else ()
    added: list[sa.Column[Any]] = [
        sa.Column("created_at", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("parameters", sa.BigInteger()),
        *(sa.Column(s, sa.Float(precision=53), nullable=False, server_default="-1") for s in _scores(table)),
    ]
    for column in added:
        if column.name not in present:
            op.add_column(table, column)
    if present:
        with op.batch_alter_table(table) as batch_op:
            batch_op.alter_column(
                "parameters", existing_type=sa.BigInteger(), nullable=True, server_default=None
            )


def _triggers() -> Iterator[str]:
    sqlite = op.get_bind().dialect.name == "sqlite"
    for table, (column, *_) in _FINDS.items():
        source = _source(table)
        if sqlite:
            update = _update(table, source, f"found.id = NEW.{column} AND {table}.rowid = NEW.rowid")
            yield _SQLITE_COPIED.format(table=table, update=update)
        else:
            values = " ".join(f"NEW.{name} := found.{name};" for name in _copies(table))
            yield _COPY.format(table=table, column=column, source=source, values=values)
            yield _COPIED.format(table=table)
    for owners, scores in _SCORED.items():
        updates = " ".join(
            _update(table, _selected(table, owners), f"found.id = NEW.id AND {column} = NEW.id") + ";"
            for table, (column, named, _) in _FINDS.items()
            if owners in named
        )
        columns = ", ".join(("parameters", *scores))
        for template in (_SQLITE_CHANGED,) if sqlite else (_SPREAD, _CHANGED):
            yield template.format(table=owners, columns=columns, updates=updates)


def _update(table: str, source: str, condition: str) -> str:
    values = ", ".join(f"{name} = found.{name}" for name in _copies(table))
    return _UPDATE.format(table=table, values=values, source=source, condition=condition)


def _indexes() -> Iterator[tuple[str, str, list[str], str | None]]:
    """(name, table, columns, condition)"""
    places = {table: ((), "id", scores) for table, scores in _SCORED.items()} | {
        table: (equal, column, _scores(table)) for table, (column, _, equal) in _FINDS.items()
    }
    for table, (equal, row_id, scores) in places.items():
        columns = ("created_at", "parameters", *scores)
        for name in columns:
            others = [other for other in columns if other != name]
            condition = f"{name} > -1" if name in scores else None
            yield f"ix_{table}_by_{name}", table, ["tenant_id", *equal, name, row_id, *others], condition
    ranked = ["tenant_id", "name", "score", "module_id", "created_at", "parameters", *_SCORES]
    yield "ix_module_classes_by_score", "module_classes", ranked, None


def downgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    for table in (*_FINDS, *_SCORED):
        if sqlite:
            op.execute(f"DROP TRIGGER {table}_copied")
        else:  # and the trigger that calls it
            op.execute(f"DROP FUNCTION copy_{'to' if table in _FINDS else 'from'}_{table}() CASCADE")
    for name, table, *_ in _indexes():
        op.drop_index(name, table)
    with kept_triggers():
        for table in _FINDS:
            _drop_columns(table)
    for name, (table, *columns) in _OLD_INDEXES.items():
        op.create_index(name, table, ["tenant_id", *columns])


def _drop_columns(table: str) -> None:
    kept = ("score", "parameters", "created_at") if table == "module_classes" else ()
    with op.batch_alter_table(table) as batch_op:
        for column in _copies(table):
            if column not in kept:
                batch_op.drop_column(column)
        if kept:
            batch_op.alter_column(
                "parameters", existing_type=sa.BigInteger(), nullable=False, server_default="0"
            )
