"""What every command shares: the global options, the client, and how an error is told."""

import errno
import socket
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:  # httpx and pydantic cost half a second, and `cleave --help` needs neither
    from service.client import CleaveClient

DEFAULT_URL = "http://127.0.0.1:8321"

_LONGEST_NAME = 200
_NOT_OUR_ADDRESS = {
    errno.EADDRNOTAVAIL,
    socket.EAI_NONAME,
    socket.EAI_AGAIN,
    socket.EAI_FAIL,
    socket.EAI_NODATA,
}
_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON, and only JSON, on stdout.")]
WaitFlag = Annotated[bool, typer.Option("--wait/--no-wait", help="Follow the job to its end.")]
LimitOption = Annotated[int | None, typer.Option("--limit", help="Rows per page.")]
AfterOption = Annotated[str | None, typer.Option("--after", help="Continue from this next_cursor.")]


@dataclass(frozen=True)
class Options:
    """The global options."""

    url: str = DEFAULT_URL
    api_key: str | None = None
    verbose: bool = False


@contextmanager
def connect(ctx: typer.Context) -> Iterator["CleaveClient"]:
    """A client for the service the global options name; errors end the command."""
    with reported_errors(ctx):
        from service.client import CleaveClient

        options: Options = ctx.obj
        with CleaveClient(options.url, options.api_key) as client:
            yield client


@contextmanager
def reported_errors(ctx: typer.Context) -> Iterator[None]:
    """Turn the errors we expect into one line on stderr and exit code 1."""
    from pydantic import ValidationError

    from service.client.errors import CleaveError
    from service.platform.errors import ServiceError, StartupError

    try:
        _refuse_bad_names(ctx)
        yield
    except (CleaveError, ServiceError, StartupError) as error:
        if ctx.obj.verbose:
            raise
        fail(error.code, str(error), getattr(error, "errors", []))
    except ValidationError as error:
        if ctx.obj.verbose:
            raise
        problems = [
            {
                "pointer": "/" + "/".join(map(str, e["loc"])),
                "message": e["msg"].removeprefix("Value error, "),
            }
            for e in error.errors()
        ]
        fail("invalid_settings", "a setting (CLEAVE_... or option) is not valid", problems)
    except OSError as error:
        if ctx.obj.verbose:
            raise
        fail(*_explain_os(error, ctx.params.get("host")))
    except _database_errors() as error:
        if ctx.obj.verbose:
            raise
        fail(*_explain_database(error))


def _refuse_bad_names(ctx: typer.Context) -> None:
    """Names are kept and shown exactly as given, so what cannot be shown is refused rather than removed."""
    for option in ("tenant", "name"):
        given = ctx.params.get(option)
        if given is None:
            continue
        if not given.strip() or len(given) > _LONGEST_NAME:
            fail("invalid_name", f"the {option} must have 1 to {_LONGEST_NAME} characters, not only spaces")
        if any(unicodedata.category(character) in _UNPRINTABLE for character in given):
            fail("invalid_name", f"the {option} has control characters: {given!r}")


def _explain_os(error: OSError, host: str | None) -> tuple[str, str]:
    if error.errno == errno.EADDRINUSE:
        return "port_in_use", str(error)
    if error.errno in _NOT_OUR_ADDRESS:
        where = host or "the host"
        reason = (error.strerror or "").partition(" (while")[0]
        return "cannot_listen", f"cannot listen on {where} ({reason}); is it an address of this machine?"
    if isinstance(error, FileExistsError | NotADirectoryError):
        return "not_a_folder", f"{error.filename} is not a folder, or is below a file; choose another place"
    return "os_error", str(error)


def _database_errors() -> tuple[type[Exception], ...]:
    """Imported only once something was raised: a client has no database, and starts without SQLAlchemy."""
    from sqlalchemy.exc import DBAPIError, TimeoutError

    return DBAPIError, TimeoutError


def _explain_database(error: Exception) -> tuple[str, str]:
    """Raises the error again where it is a fault of ours."""
    from service.platform.problems import DatabaseNotMigratedError, database_refusal

    refusal = database_refusal(error)
    if refusal is None:
        raise error
    if isinstance(refusal, DatabaseNotMigratedError):
        return refusal.code, refusal.detail
    reason = str(getattr(error, "orig", error)).strip().splitlines()[0]
    return "database_unavailable", f"{reason}; see CLEAVE_DATABASE_URL, or --data-dir for SQLite"


def fail(code: str, message: str, problems: list[dict[str, Any]] | None = None) -> NoReturn:
    """Say what went wrong on stderr and end with exit code 1."""
    typer.echo(f"error [{code}]: {message}", err=True)
    for problem in problems or []:
        typer.echo(f"  {problem.get('pointer', '')}: {problem.get('message', '')}", err=True)
    raise typer.Exit(1)


def report_uncaught(kind: type[BaseException], error: BaseException, _: Any) -> None:
    """The last resort (sys.excepthook): a bug is told in one line, not in a page."""
    if issubclass(kind, KeyboardInterrupt):
        return
    sys.stderr.write(
        f"error [internal_error]: {kind.__name__}: {error}\n"
        "  This is a bug. `cleave --verbose ...` shows where it happened.\n"
    )
