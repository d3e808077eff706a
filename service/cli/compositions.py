"""cleave compositions ...: what was composed; `cleave compose` makes them."""

from typing import Annotated

import typer

from service.cli import output
from service.cli.registry import show_network
from service.cli.session import AfterOption, JsonFlag, LimitOption, connect

app = typer.Typer(help="Classifiers made of modules.", no_args_is_help=True)
_COLUMNS = ("id", "classes", "form", "ready", "parameters", "validation accuracy", "model")


@app.command("list")
def list_compositions(
    ctx: typer.Context,
    model_id: Annotated[str | None, typer.Option("--model")] = None,
    class_name: Annotated[str | None, typer.Option("--class", help="Knows this class.")] = None,
    limit: LimitOption = None,
    after: AfterOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Compositions that fit, newest first."""
    with connect(ctx) as client:
        page = client.compositions.list(model_id=model_id, class_name=class_name, limit=limit, after=after)
    rows = [
        (
            c.id, ", ".join(c.classes), c.form, c.ready, c.parameters,
            output.percent(c.metric("accuracy", "validation")), c.model_id,
        )
        for c in page.data
    ]  # fmt: skip
    output.emit(page, as_json, lambda: output.table("compositions", _COLUMNS, rows))


@app.command()
def show(
    ctx: typer.Context,
    composition_id: Annotated[str, typer.Argument(metavar="COMPOSITION_ID")],
    as_json: JsonFlag = False,
) -> None:
    """One composition: size, figures, files."""
    with connect(ctx) as client:
        composition = client.compositions.get(composition_id)
    output.emit(composition, as_json, lambda: show_network(composition))
