"""cleave artifacts ...: single files by their id."""

from typing import Annotated

import typer

from service.cli import output
from service.cli.session import JsonFlag, connect

app = typer.Typer(help="Files of models, modules and compositions.", no_args_is_help=True)


@app.command()
def sign(
    ctx: typer.Context,
    artifact_id: Annotated[str, typer.Argument(metavar="ARTIFACT_ID")],
    ttl_s: Annotated[int, typer.Option("--ttl", help="Seconds that the link holds, 3600 at most.")] = 600,
    as_json: JsonFlag = False,
) -> None:
    """Make a link that downloads this file without an API key, for a while."""
    with connect(ctx) as client:
        link = client.artifacts.sign(artifact_id, ttl_s)

    def show() -> None:
        output.say(f"{link.url}\n\nIt holds until {output.moment(link.expires_at)}.")

    output.emit(link, as_json, show)
