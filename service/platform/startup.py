"""What every process checks before it works: the settings, and that the database is at this version."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError

from service import migrate
from service.platform.database import Database
from service.platform.errors import DatabaseBehindError, StartupError
from service.platform.settings import Settings

INVALID_SETTINGS = "invalid_settings"


def explain_settings(error: ValidationError) -> str:
    """The wrong settings by the names of their variables, in one line and without their values."""
    told = [
        f"CLEAVE_{'_'.join(map(str, e['loc'])).upper()}: {e['msg'].removeprefix('Value error, ')}"
        for e in error.errors()
    ]
    return "; ".join(told)


@contextmanager
def refusing_to_start() -> Iterator[None]:
    """For entry points of processes: a reason not to start is one line on stderr, and no traceback.

    Raises:
        SystemExit: 2 for a setting that is not valid, 1 for another StartupError.
    """
    try:
        yield
    except ValidationError as error:
        sys.stderr.write(f"error [{INVALID_SETTINGS}]: {explain_settings(error)}\n")
        raise SystemExit(2) from None
    except StartupError as error:
        sys.stderr.write(f"error [{error.code}]: {error}\n")
        raise SystemExit(1) from None


def require_schema(settings: Settings) -> None:
    """See that the database has this version's tables; one that does not answer yet is left to the retries.

    A newer revision is accepted: during an upgrade, the database is ahead of the processes that still run.

    Raises:
        DatabaseBehindError: the database has no tables, or those of an older version.
    """
    database = Database(settings)
    try:
        found = migrate.current(database.engine)
    except DBAPIError:
        return
    finally:
        database.dispose()
    if found is None or (found in migrate.revisions() and found != migrate.head()):
        state = "has no tables yet" if found is None else f"is at revision {found}, not {migrate.head()}"
        raise DatabaseBehindError(f"the database {state}; run `cleave db upgrade`")
