"""What every command shares: the global options, the client, and how an error is told."""

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from core.texts import hides_something
from service.cli import output

if TYPE_CHECKING:  # httpx and pydantic cost half a second, and `cleave --help` needs neither
    from service.client import CleaveApiError, CleaveClient
    from service.platform.settings import Settings

DEFAULT_URL = "http://127.0.0.1:8321"

_LONGEST_NAME = 200
_NOT_OUR_ADDRESS = {
    errno.EADDRNOTAVAIL,
    socket.EAI_NONAME,
    socket.EAI_AGAIN,
    socket.EAI_FAIL,
    socket.EAI_NODATA,
}

_errors_as_json: ContextVar[bool] = ContextVar("errors_as_json", default=False)


def remember_json(wanted: bool) -> bool:
    """Callback of every `--json`: errors then are JSON too, also those met before the command's own code."""
    _errors_as_json.set(wanted)
    return wanted


JsonFlag = Annotated[
    bool,
    typer.Option("--json", help="JSON only: results on stdout, errors on stderr.", callback=remember_json),
]
DataDirOption = Annotated[Path | None, typer.Option(help="Default: CLEAVE_DATA_DIR, else ./.cleave.")]
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
    """Turn the errors we expect into a few words on stderr and exit code 1 (2 for invalid settings)."""
    from pydantic import ValidationError

    from service.client.errors import CleaveError
    from service.platform.errors import ServiceError, StartupError

    try:
        _refuse_bad_names(ctx)
        yield
    except (CleaveError, ServiceError, StartupError, ValidationError, OSError) as error:
        if ctx.obj.verbose:
            raise
        _tell(error, ctx.params.get("host"))
    except _database_errors() as error:
        if ctx.obj.verbose:
            raise
        fail(*_explain_database(error))


def _tell(error: Exception, host: str | None) -> NoReturn:
    from pydantic import ValidationError

    from service.client.errors import CleaveApiError

    if isinstance(error, CleaveApiError):
        _fail_with(error.problem, _told(error))
    if isinstance(error, OSError):
        fail(*_explain_os(error, host))
    if isinstance(error, ValidationError):
        from service.platform.startup import INVALID_SETTINGS, explain_settings

        fail(INVALID_SETTINGS, explain_settings(error), status=2)
    fail(getattr(error, "code", "internal_error"), str(error))


def _told(error: "CleaveApiError") -> list[str]:
    """A refusal in lines for a person: each fact once, and what to do about a missing key."""
    if error.status == 401:
        hint = "set CLEAVE_API_KEY (or give --api-key); `cleave keys create` makes a key"
        return [error.detail, hint]
    if len(error.errors) < 2:
        return [error.detail]  # it names the one field that is wrong
    wrong = [f"{item.get('pointer') or 'the body'}: {item.get('message', '')}" for item in error.errors]
    # A detail that is the first of the fields again is left to the list.
    repeats = error.detail.startswith(wrong[0])
    return [str(error.problem.get("title")) if repeats else error.detail, *wrong]


def local_settings(**given: Any) -> "Settings":
    """The environment's settings, overridden by the given options. Raises pydantic.ValidationError."""
    from service.platform.settings import Settings

    return Settings(**{name: value for name, value in given.items() if value is not None})


def installed_settings(data_dir: Path | None) -> "Settings":
    """The settings of an installation that is there; whoever only looks after one never makes another.

    Raises:
        pydantic.ValidationError, NoInstallationError
    """
    from sqlalchemy import make_url

    from service.platform.errors import NoInstallationError

    settings = local_settings(data_dir=data_dir)
    url = make_url(settings.resolved_database_url)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        # A new, empty database would be whole and well, whatever became of the one that is meant.
        raise NoInstallationError(
            f"there is no {url.database}; name the folder that `cleave up` was given: "
            "--data-dir or CLEAVE_DATA_DIR (CLEAVE_DATABASE_URL for a database elsewhere)"
        )
    return settings


def _refuse_bad_names(ctx: typer.Context) -> None:
    """Names are kept and shown exactly as given, so what cannot be shown is refused rather than removed."""
    for option in ("tenant", "name"):
        given = ctx.params.get(option)
        if given is None:
            continue
        if not given.strip() or len(given) > _LONGEST_NAME:
            fail("invalid_name", f"the {option} must have 1 to {_LONGEST_NAME} characters, not only spaces")
        if hides_something(given):
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


def fail(code: str, message: str, status: int = 1) -> NoReturn:
    """Say what went wrong on stderr, with --json as a problem document, and end the command."""
    _fail_with({"type": f"urn:cleave:problem:{code}", "code": code, "detail": message}, [message], status)


def _fail_with(problem: dict[str, Any], lines: list[str], status: int = 1) -> NoReturn:
    if _errors_as_json.get():
        output.say(output.json_text(problem), err=True)
    else:
        first, *rest = lines
        output.say("\n  ".join([f"error [{problem['code']}]: {first}", *rest]), err=True)
    raise typer.Exit(status)


def report_uncaught(kind: type[BaseException], error: BaseException, _: Any) -> None:
    """The last resort (sys.excepthook): a bug is told in one line, not in a page."""
    if issubclass(kind, KeyboardInterrupt):
        return
    told = f"{kind.__name__}: {error}"
    if _errors_as_json.get():
        problem = {"type": "urn:cleave:problem:internal_error", "code": "internal_error", "detail": told}
        output.say(output.json_text(problem), err=True)
        return
    output.say(
        f"error [internal_error]: {told}\n  This is a bug. `cleave --verbose ...` shows where it happened.",
        err=True,
    )
