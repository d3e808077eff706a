"""What every process checks before it works: the settings, and that the database is at this version."""

import errno
import logging
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError

from service import migrate
from service.platform.database import Database
from service.platform.errors import DatabaseBehindError, FolderNotWritableError, StartupError
from service.platform.settings import Settings, unknown_variables

_LOG = logging.getLogger(__name__)
# They pass, and what waits for it goes on then; a folder that cannot be written needs a hand.
_PASSING = frozenset({errno.ENOSPC, errno.EDQUOT})
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
        SystemExit: 2 for a setting that is not valid, 1 for another StartupError or a file's error.
    """
    try:
        yield
    except ValidationError as error:
        sys.stderr.write(f"error [{INVALID_SETTINGS}]: {explain_settings(error)}\n")
        raise SystemExit(2) from None
    except StartupError as error:
        sys.stderr.write(f"error [{error.code}]: {error}\n")
        raise SystemExit(1) from None
    except OSError as error:
        sys.stderr.write(f"error [os_error]: {error}\n")
        raise SystemExit(1) from None


def tell_doubtful(settings: Settings, *, needs_secret: bool) -> None:
    """Warn of settings that are valid and probably not meant; to be called once the log is set up."""
    for name, meant in unknown_variables():
        _LOG.warning("%s is not a setting%s", name, f"; is {meant} meant?" if meant else "")
    if needs_secret and settings.secret_key is None and settings.database_url is not None:
        _LOG.warning(
            "CLEAVE_SECRET_KEY is not set: this process uses %s, and keys, links and webhooks are good only "
            "where every API process and the dispatcher use the same",
            settings.home / "secret.key",
        )


def require_writable(folder: Path) -> None:
    """See that a folder is there and takes files; one that is full counts as one that does.

    Raises:
        FolderNotWritableError
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f"probe-{uuid.uuid4().hex}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        if error.errno in _PASSING:
            return
        reason = f"this worker cannot write to {folder} ({error.strerror})"
        raise FolderNotWritableError(f"{reason}; see CLEAVE_ARTIFACT_URL and CLEAVE_DATA_DIR") from error


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
