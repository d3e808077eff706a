"""The database's schema: bring it to this version, one process at a time.

`python -m service.migrate new "what changes"` writes the next migration: what the declared tables have
that an up-to-date database has not.
"""

import fcntl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session

import migrations
from service.platform.database import Database, without_time_limit
from service.platform.errors import DatabaseForeignError
from service.platform.settings import Settings
from service.tenants.service import ensure_tenant

# Any constant: it only has to differ from the other advisory locks taken in this database.
_ADVISORY_LOCK = 0x636C6561


def head() -> str:
    """The revision this version of the code wants."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None, "migrations/versions is part of the package"  # noqa: S101
    return revision


def revisions() -> frozenset[str]:
    """Every revision this version of the code knows."""
    return frozenset(s.revision for s in ScriptDirectory.from_config(_config()).walk_revisions())


def current(engine: Engine) -> str | None:
    """The revision the database is at; None for an empty database."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def upgrade(settings: Settings, revision: str = "head") -> None:
    """Bring the database to `revision`, and see that the default tenant exists; safe from many processes.

    Raises:
        DatabaseForeignError: the database was written by a newer version.
    """
    with _locked_connection(settings) as connection:
        found = MigrationContext.configure(connection).get_current_revision()
        if found is not None and found not in revisions():
            raise DatabaseForeignError(
                f"The database is at revision {found}, which this version does not know."
            )
        command.upgrade(_config(connection), revision)
        if revision == "head":
            with Session(connection) as session:
                ensure_tenant(session)
                session.commit()  # into the connection's transaction, which ends below
        connection.commit()


def downgrade(settings: Settings, revision: str) -> None:
    """Take the database back to `revision` ("base" empties it, "-1" undoes the last migration)."""
    with _locked_connection(settings) as connection:
        command.downgrade(_config(connection), revision)
        connection.commit()


def write_migration(message: str) -> Path:
    """Write the migration that leads from the newest one to the tables as they are now declared."""
    with TemporaryDirectory() as folder, _locked_connection(_scratch(folder)) as connection:
        command.upgrade(_config(connection), "head")
        name = f"{datetime.now(UTC):%Y%m%d_%H%M%S}"
        script = command.revision(_config(connection), message, autogenerate=True, rev_id=name)
    return Path(script.path)  # type: ignore[union-attr]  # one revision is asked for, one comes back


def _scratch(folder: str) -> Settings:
    return Settings(data_dir=Path(folder), database_url=None)


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.set_main_option("path_separator", "os")
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    config.attributes["connection"] = connection
    return config


@contextmanager
def _locked_connection(settings: Settings) -> Iterator[Connection]:
    """A connection that no other migrating process has at the same time; nothing is committed here."""
    database = Database(settings)
    try:
        if database.engine.dialect.name == "sqlite":
            with (
                _file_lock(settings.home / "migrate.lock"),
                _sqlite_connection(database.engine) as connection,
            ):
                yield connection
        else:
            with _postgres_connection(database.engine) as one:
                yield one
    finally:
        database.dispose()


@contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _sqlite_connection(engine: Engine) -> Iterator[Connection]:
    with engine.execution_options(write=True).connect() as connection:
        # Rebuilding a table drops the old one; with foreign keys on, that would delete the rows that
        # refer to it. The pragma has no effect inside a transaction, so it goes straight to the driver.
        driver = connection.connection.driver_connection
        driver.execute("PRAGMA foreign_keys=OFF")  # type: ignore[union-attr]  # a live connection has its driver
        yield connection


@contextmanager
def _postgres_connection(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as connection:
        without_time_limit(connection)
        connection.exec_driver_sql(f"SELECT pg_advisory_lock({_ADVISORY_LOCK})")
        connection.commit()
        yield connection
        # The lock ends with the connection, also when this process is killed.


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] != "new":
        sys.exit('usage: python -m service.migrate new "what changes"')
    sys.stdout.write(f"{write_migration(sys.argv[2])}\n")
