"""Engine, sessions, and the one place where transactions end."""

import math
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from sqlalchemy import (
    JSON,
    Connection,
    Engine,
    ForeignKeyConstraint,
    Index,
    MetaData,
    create_engine,
    event,
    make_url,
    text,
)
from sqlalchemy import exc as sql
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    sessionmaker,
    with_loader_criteria,
)
from sqlalchemy.pool import ConnectionPoolEntry

from service.platform.answers import kept_answers
from service.platform.settings import Settings
from service.platform.wakeups import Wakeups

_WITHOUT_TRANSACTION = {"isolation_level": "AUTOCOMMIT"}
# A connection that was used so recently is not asked whether it is alive: a round trip for each session.
_ALIVE_S = 1.0
# Of the server's silence that one may have which is only asked whether it is there: what follows waits too.
_PING_SHARE = 0.25
_READ_ONLY = "25006"
_CANCELED = "57014"
_DISK_FULL = "53100"

JSON_TYPE = JSON().with_variant(JSONB(), "postgresql")


# `info` of a column that holds the sha256 of a stored blob: the blob stays as long as such a row does.
NAMES_BLOB: dict[str, Any] = {"names_blob": True}


class Base(DeclarativeBase):
    """Base of every ORM row."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {dict[str, Any]: JSON_TYPE, list[str]: JSON_TYPE, list[int]: JSON_TYPE}  # noqa: RUF012


class TenantOwned:
    """A row that belongs to one tenant; a tenant's session sees no other rows of such tables."""

    tenant_id: Mapped[str] = mapped_column(index=True)


def tenant_key(table: str) -> Index:
    """What `tenant_reference` to this table needs; also finds the tenant's rows."""
    return Index(f"uq_{table}_tenant", "tenant_id", "id", unique=True)


def tenant_reference(
    column: str, table: str, *, ondelete: str | None = None, deferrable: bool | None = None
) -> ForeignKeyConstraint:
    """A foreign key that names a row of the same tenant: the database refuses another tenant's.

    It makes one from `tenant_id` to the tenants unnecessary where `column` is never null. `deferrable`: of a
    table that names itself, whose rows a backup brings back in any order; it is checked at once all the same.
    """
    names = [f"{table}.tenant_id", f"{table}.id"]
    return ForeignKeyConstraint(["tenant_id", column], names, ondelete=ondelete, deferrable=deferrable)


class Database:
    """The engine and its two kinds of session."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        url = settings.resolved_database_url
        if url.startswith("sqlite"):
            settings.home.mkdir(parents=True, exist_ok=True)
            self.engine = create_engine(url, pool_size=20, max_overflow=20)
            _configure_sqlite(self.engine)
        else:
            from service.platform.postgres import connect_patiently, connection_options

            timeout_s = settings.database_timeout_s
            options = connection_options(timeout_s, make_url(url).query)
            pool = {"pool_size": 10, "max_overflow": 20, "pool_timeout": timeout_s}
            self.engine = create_engine(url, connect_args=options, **pool)
            connect_patiently(self.engine, timeout_s)
            _check_idle_connections(self.engine)
        self.wakeups = Wakeups(self.engine)
        self._answers = kept_answers()
        # PostgreSQL shows each statement what is committed when it begins, in a transaction or not: reading
        # without one saves two round trips. SQLite's transactions cost nothing and show one moment.
        readers = (
            self.engine if url.startswith("sqlite") else self.engine.execution_options(**_WITHOUT_TRANSACTION)
        )
        self._read = sessionmaker(readers, expire_on_commit=False)
        # The option makes SQLite take its write lock at BEGIN: a deferred transaction that reads and then
        # writes fails with "database is locked" or loses updates.
        self._write = sessionmaker(self.engine.execution_options(write=True), expire_on_commit=False)

    @contextmanager
    def read(self, tenant_id: str | None = None) -> Iterator[Session]:
        """A session that is rolled back at the end; `tenant_id` hides every other tenant's rows."""
        with self._read(info=self._info(tenant_id)) as session:
            yield session

    @contextmanager
    def write(self, tenant_id: str | None = None) -> Iterator[Session]:
        """A session that commits when the block ends and rolls back when it raises."""
        with self._write.begin() as session:
            session.info.update(self._info(tenant_id))
            yield session

    def _info(self, tenant_id: str | None) -> dict[str, Any]:
        return {"tenant_id": tenant_id, "settings": self._settings, "answers": self._answers}

    def dispose(self) -> None:
        self.wakeups.close()
        self.engine.dispose()


@event.listens_for(Session, "do_orm_execute")
def _only_own_rows(state: Any) -> None:
    tenant_id = state.session.info.get("tenant_id")
    if tenant_id is not None and not state.is_column_load and not state.is_relationship_load:
        state.statement = state.statement.options(
            with_loader_criteria(TenantOwned, lambda row: row.tenant_id == tenant_id, include_aliases=True)
        )


def settings_of(session: Session) -> Settings:
    """The settings of the service that opened this session."""
    return cast(Settings, session.info["settings"])


def is_away(error: Exception) -> bool:
    """Whether the database cannot work now; otherwise, asking again would change nothing."""
    # PostgreSQL says so while it takes no writes: this server is a copy, or about to become one.
    read_only = getattr(getattr(error, "orig", None), "sqlstate", None) == _READ_ONLY
    return read_only or isinstance(error, sql.OperationalError | sql.InterfaceError | sql.TimeoutError)


def is_unreachable(error: Exception) -> bool:
    """Whether nothing could be asked, or the connection was lost: whatever is asked next will fail too."""
    return isinstance(error, sql.TimeoutError) or (
        isinstance(error, sql.DBAPIError) and (error.connection_invalidated or error.statement is None)
    )


def took_too_long(error: Exception) -> bool:
    """Whether PostgreSQL ended a statement that took longer than one may."""
    return getattr(getattr(error, "orig", None), "sqlstate", None) == _CANCELED


def is_full(error: BaseException) -> bool:
    """Whether the database has no room for what is written: it is there, and a small write may still fit."""
    driver: Any = getattr(error, "orig", None)
    if getattr(driver, "sqlstate", None) == _DISK_FULL:
        return True
    return getattr(driver, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def reason_of(error: sql.SQLAlchemyError) -> str:
    """What the driver said, without the statement and its values."""
    return str(getattr(error, "orig", None) or error)


def without_time_limit(connection: Connection) -> None:
    """For work that takes as long as it takes; the connection is not to be used for other work."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET statement_timeout = 0"))
        driven: Any = connection.connection.driver_connection
        driven.silence_s = math.inf


def insert_if_absent(
    session: Session, entity: type[Base], values: dict[str, Any], *, key: list[str], where: Any = None
) -> bool:
    """Insert a row unless one with the same `key` columns exists, or comes to exist at the same time.

    `where`: of the unique index, when it covers a part of the table.
    """
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    statement = insert(entity).values(**values).on_conflict_do_nothing(index_elements=key, index_where=where)
    # RETURNING, because drivers do not agree on the row count of an insert that did nothing.
    return session.scalar(statement.returning(getattr(entity, key[0]))) is not None


def _check_idle_connections(engine: Engine) -> None:
    """Replace connections that died while nobody used them (the server restarted, a firewall forgot them)."""

    @event.listens_for(engine, "checkin")
    def _returned(_: Any, record: ConnectionPoolEntry) -> None:
        record.info["returned"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _taken(connection: Any, record: ConnectionPoolEntry, _: Any) -> None:
        if time.monotonic() - record.info.get("returned", -math.inf) < _ALIVE_S:
            return
        patience_s = connection.silence_s
        connection.silence_s = _PING_SHARE * patience_s
        try:
            alive = engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise sql.DisconnectionError from error
        finally:
            connection.silence_s = patience_s
        if not alive:
            raise sql.DisconnectionError


def _configure_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # SQLAlchemy begins transactions, not the driver
        for pragma in (
            "journal_mode=WAL",
            "busy_timeout=10000",
            "foreign_keys=ON",
            "synchronous=NORMAL",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        write = connection.get_execution_options().get("write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
