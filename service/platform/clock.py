"""Time as the database tells it: every stored instant is integer milliseconds since 1970, UTC.

Leases compare instants written by different hosts, so the database's clock is the only one that counts;
integers compare and add the same way on PostgreSQL and SQLite.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator


class Instant(TypeDecorator[datetime]):
    """An aware UTC datetime in Python, integer milliseconds in the database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> int | None:  # noqa: ARG002 - SQLAlchemy's signature
        if isinstance(value, datetime):
            return round(value.timestamp() * 1000)
        return None if value is None else int(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else datetime.fromtimestamp(value / 1000, tz=UTC)

    def coerce_compared_value(self, op: Any, value: Any) -> Any:  # noqa: ARG002
        """`instant + 60_000` adds milliseconds: plain integers stay integers."""
        return BigInteger() if isinstance(value, int) else self


class db_now(FunctionElement[datetime]):  # noqa: N801 - reads like the SQL function it is
    """The database's clock."""

    type = Instant()
    inherit_cache = True


@compiles(db_now, "sqlite")
def _sqlite_now(element: db_now, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ARG001
    return "CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER)"


@compiles(db_now, "postgresql")
def _postgres_now(element: db_now, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ARG001
    # Not now(), which stands still within a transaction; not clock_timestamp(), for which no index is used.
    return "CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)"
