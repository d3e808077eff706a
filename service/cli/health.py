"""cleave health: for the health checks of containers, in which nothing listens on a port."""

import socket
from typing import Annotated, Literal

import typer

from service.cli import output
from service.cli.session import DataDirOption, JsonFlag, installed_settings, reported_errors


def health(
    ctx: typer.Context,
    process: Annotated[Literal["dispatcher", "worker"], typer.Argument(help="worker: one of this host.")],
    data_dir: DataDirOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Whether jobs are dispatched, or whether a worker of this host lives; ends with 1 if not."""
    with reported_errors(ctx):
        from service.jobs import alive
        from service.platform.database import Database

        database = Database(installed_settings(data_dir))
        try:
            with database.read() as session:
                if process == "dispatcher":
                    well = alive.dispatched(session)
                else:
                    well = alive.works_on(session, socket.gethostname())
        finally:
            database.dispose()
    if as_json:
        output.print_json({"process": process, "alive": well})
    else:
        output.say(f"{process}: {'alive' if well else 'no sign of life'}")
    raise typer.Exit(0 if well else 1)
