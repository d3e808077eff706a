"""cleave up | api | dispatcher | worker | db: what runs on this machine."""

import json
import os
import socket
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from service.cli import output
from service.cli.session import DataDirOption, JsonFlag, local_settings, remember_json, reported_errors

db_app = typer.Typer(help="The database.", no_args_is_help=True)

HostOption = Annotated[str | None, typer.Option(help="Address to listen on; default 127.0.0.1.")]
PortOption = Annotated[int | None, typer.Option(help="Port to listen on; default 8321.")]
JsonLineFlag = Annotated[
    bool, typer.Option("--json", help="Print one line of JSON once it is ready.", callback=remember_json)
]
NoAuthFlag = Annotated[
    bool, typer.Option("--no-auth", help="Ask for no API key; only on a loopback address.")
]


def up(  # noqa: PLR0913 - one argument for each option
    ctx: typer.Context,
    data_dir: DataDirOption = None,
    host: HostOption = None,
    port: PortOption = None,
    data_root: Annotated[Path | None, typer.Option(help="Folder with torchvision datasets.")] = None,
    no_auth: NoAuthFlag = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="JSON lines: the first API key, if this start makes one; then where it is ready.",
            callback=remember_json,
        ),
    ] = False,
) -> None:
    """Run the whole service on this machine until Ctrl-C: API, dispatcher and workers."""
    with reported_errors(ctx):
        from service.app import require_auth_or_loopback
        from service.platform import tracing
        from service.platform.settings import unknown_variables
        from service.processes import run_up

        settings = local_settings(
            data_dir=data_dir, host=host, port=port, data_root=data_root, auth=False if no_auth else None
        )
        # Here, and not only in the processes: their refusals would be in log files.
        require_auth_or_loopback(settings)
        tracing.require(settings)
        home = str(settings.home)
        for name, meant in () if as_json else unknown_variables():  # its processes are given none of them
            output.say(f"warning: {name} is not a setting{f'; is {meant} meant?' if meant else ''}", err=True)
        if as_json:
            # The key on a line of its own, at once: it cannot be shown again if the start fails.
            run_up(
                settings,
                on_key=lambda key: _print_line({"api_key": key, "data_dir": home}),
                on_ready=lambda url: _print_line({"url": url, "data_dir": home}),
            )
        else:
            run_up(settings, on_key=_show_first_key, on_ready=_show_ready, on_stopping=_show_stopping)
            output.say(f"Stopped. The data is in {home}; `cleave up` goes on from there.")


def api(
    ctx: typer.Context,
    data_dir: DataDirOption = None,
    host: HostOption = None,
    port: PortOption = None,
    no_auth: NoAuthFlag = False,
    as_json: JsonLineFlag = False,
) -> None:
    """Run only the API."""
    with reported_errors(ctx):
        from service.platform.logging import configure_logging
        from service.server import serve

        settings = local_settings(data_dir=data_dir, host=host, port=port, auth=False if no_auth else None)
        configure_logging(settings)
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        with socket.create_server((settings.host, settings.port), family=family) as listener:
            host, port = listener.getsockname()[:2]
            ready = {
                "url": f"http://{f'[{host}]' if ':' in host else host}:{port}",
                "data_dir": str(settings.home),
            }
            serve(settings, listener, on_ready=lambda: _print_line(ready) if as_json else None)


def dispatcher(ctx: typer.Context, data_dir: DataDirOption = None, as_json: JsonLineFlag = False) -> None:
    """Run only the dispatcher."""
    with reported_errors(ctx):
        from service import dispatcher as process

        _export(data_dir)
        ready = {"data_dir": str(local_settings().home)}
        process.main(on_ready=lambda: _print_line(ready) if as_json else None)


def worker(
    ctx: typer.Context,
    queue: Annotated[Literal["train", "short"], typer.Option(help="Which jobs to run.")] = "train",
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda:N, GPU-... or MIG-...; default: whatever torch chooses.")
    ] = None,
    data_dir: DataDirOption = None,
    as_json: JsonLineFlag = False,
) -> None:
    """Run one worker."""
    with reported_errors(ctx):
        _export(data_dir)
        local_settings(device=device)
    chosen = ["--device", device] if device else []
    command = [sys.executable, "-m", "worker", "--queue", queue, *chosen, *(["--json"] if as_json else [])]
    # The service never imports the worker: it becomes it.
    os.execv(sys.executable, command)  # noqa: S606 - our own module


@db_app.command("upgrade")
def db_upgrade(ctx: typer.Context, data_dir: DataDirOption = None, as_json: JsonFlag = False) -> None:
    """Bring the database's tables to this version."""
    with reported_errors(ctx):
        from service import migrate

        migrate.upgrade(local_settings(data_dir=data_dir))
        revision = migrate.head()
    if as_json:
        output.print_json({"revision": revision})
    else:
        output.say(f"the database is at revision {revision}")


def _export(data_dir: Path | None) -> None:
    if data_dir is not None:
        os.environ["CLEAVE_DATA_DIR"] = str(data_dir.absolute())


def _print_line(content: dict[str, str]) -> None:
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()  # a pipe's reader waits for it, and the process goes on


def _show_first_key(key: str) -> None:
    output.say(f"Your API key, shown this once:\n  export CLEAVE_API_KEY={key}")


def _show_ready(url: str) -> None:
    output.say(f"Cleave is ready at {url} (API documentation: {url}/docs). Ctrl-C stops it.")


def _show_stopping() -> None:
    output.say("\nStopping: a running training writes a checkpoint first ...")
