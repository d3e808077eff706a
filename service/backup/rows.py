"""Every row of the database as JSON lines, one file per table, and back: the same for SQLite and PostgreSQL.

A dump is of one moment, whatever is written meanwhile. Not `pg_dump`, which may be missing where the service
runs, nor SQLite's own copy: with lines of JSON, a backup of one engine can be restored into the other.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Connection,
    Engine,
    Integer,
    MetaData,
    Table,
    delete,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from service import tables
from service.platform.database import without_time_limit
from service.platform.errors import BackupInvalidError

_AT_ONCE = 500
_STREAMED = {"yield_per": _AT_ONCE}


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """A connection that sees the database as it is when first asked, and nothing later."""
    # SQLite shows one moment to every transaction.
    level = {"isolation_level": "REPEATABLE READ"} if engine.dialect.name == "postgresql" else {}
    with engine.connect().execution_options(**level) as connection:
        without_time_limit(connection)
        yield connection


def dump(connection: Connection, folder: Path) -> dict[str, int]:
    """Write `<table>.jsonl` for every table. Returns the rows of each."""
    folder.mkdir()
    counts: dict[str, int] = {}
    for table in tables.metadata.sorted_tables:
        counts[table.name] = 0
        with (folder / f"{table.name}.jsonl").open("w", encoding="utf-8") as file:
            for row in connection.execute(select(table), execution_options=_STREAMED).mappings():
                file.write(json.dumps({name: _plain(value) for name, value in row.items()}) + "\n")
                counts[table.name] += 1
    return counts


def count(connection: Connection, *, without: str) -> int:
    """The rows of all tables but one."""
    return sum(
        connection.scalar(select(func.count()).select_from(table)) or 0
        for table in tables.metadata.sorted_tables
        if table.name != without
    )


def load(connection: Connection, folder: Path, counts: dict[str, int]) -> None:
    """Put the rows into a database that has none but what every new one has. Raises BackupInvalidError."""
    without_time_limit(connection)
    _in_any_order(connection)
    restored = _restorable()
    for table in reversed(restored):
        connection.execute(delete(table))
    for table in restored:
        found = 0
        for rows in _batches(folder / f"{table.name}.jsonl"):
            connection.execute(insert(table), rows)
            found += len(rows)
        if found != counts.get(table.name):
            raise BackupInvalidError(f"{table.name} has {found} rows, not {counts.get(table.name)}.")
        _count_on(connection, table)


def _restorable() -> list[Table]:
    """The tables, with an absent JSON value as NULL: by default it would become the JSON text `null`."""
    copies = MetaData()
    for table in tables.metadata.sorted_tables:
        for column in table.to_metadata(copies).columns:
            if isinstance(column.type, JSON) and column.nullable:
                column.type = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
    return copies.sorted_tables


def _batches(path: Path) -> Iterator[list[dict[str, Any]]]:
    try:
        with path.open(encoding="utf-8") as file:
            batch: list[dict[str, Any]] = []
            for line in file:
                batch.append(json.loads(line))
                if len(batch) == _AT_ONCE:
                    yield batch
                    batch = []
            if batch:
                yield batch
    except (FileNotFoundError, ValueError) as error:
        raise BackupInvalidError(f"{path.name} cannot be read ({error}).") from error


def _count_on(connection: Connection, table: Table) -> None:
    """Let PostgreSQL number new rows after the restored ones; SQLite does by itself."""
    key = table.autoincrement_column
    if (
        key is None
        or connection.dialect.name != "postgresql"
        or not isinstance(key.type, (Integer, BigInteger))
    ):
        return
    highest = connection.scalar(select(func.max(key)))
    sequence = connection.scalar(select(func.pg_get_serial_sequence(table.name, key.name)))
    if highest is not None and sequence is not None:
        connection.execute(select(func.setval(sequence, highest)))


def _in_any_order(connection: Connection) -> None:
    """Rows of one table may name each other: whether those are there is looked at in the end."""
    defer = {"postgresql": "SET CONSTRAINTS ALL DEFERRED", "sqlite": "PRAGMA defer_foreign_keys = ON"}
    connection.execute(text(defer[connection.dialect.name]))


def _plain(value: Any) -> Any:
    """Moments as the milliseconds that they are in the database."""
    return round(value.timestamp() * 1000) if isinstance(value, datetime) else value
