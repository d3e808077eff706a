"""Engine, sessions, and the one place where transactions end."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from sqlalchemy import JSON, Engine, MetaData, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    sessionmaker,
    with_loader_criteria,
)
from sqlalchemy.pool import ConnectionPoolEntry

from service.platform.settings import Settings
from service.platform.wakeups import Wakeups

_WITHOUT_TRANSACTION = {"isolation_level": "AUTOCOMMIT"}
# A connection that was used so recently is not asked whether it is alive: a round trip for each session.
_ALIVE_S = 1.0

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
            self.engine = create_engine(
                url, pool_size=10, max_overflow=20, connect_args={"options": "-c statement_timeout=15000"}
            )
            _check_idle_connections(self.engine)
        self.wakeups = Wakeups(self.engine)
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
        return {"tenant_id": tenant_id, "settings": self._settings}

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
        try:
            alive = engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise DisconnectionError from error
        if not alive:
            raise DisconnectionError


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
