"""What every command shares: the global options, the client, and how an error is told."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:  # httpx and pydantic cost half a second, and `cleave --help` needs neither
    from service.client import CleaveClient

DEFAULT_URL = "http://127.0.0.1:8321"

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
        yield
    except (CleaveError, ServiceError, StartupError) as error:
        if ctx.obj.verbose:
            raise
        fail(error.code, str(error), getattr(error, "errors", []))
    except ValidationError as error:
        if ctx.obj.verbose:
            raise
        problems = [
            {"pointer": "/" + "/".join(map(str, e["loc"])), "message": e["msg"]} for e in error.errors()
        ]
        fail("invalid_settings", "a setting (CLEAVE_... or option) is not valid", problems)
    except OSError as error:
        if ctx.obj.verbose:
            raise
        fail("port_in_use" if error.errno == errno.EADDRINUSE else "os_error", str(error))


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
