"""cleave datasets ...: what can be trained on, and your own images."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli import output
from service.cli.jobs import finish
from service.cli.session import JsonFlag, connect
from service.cli.spec_input import assign_all

if TYPE_CHECKING:
    from service.client.schemas import Dataset

app = typer.Typer(help="The datasets a network can be trained on.")
DatasetArgument = Annotated[str, typer.Argument(metavar="DATASET", help="A name, or ds_...")]


@app.callback(invoke_without_command=True)
def datasets(ctx: typer.Context, as_json: JsonFlag = False) -> None:
    """The datasets a network can be trained on; more with a command."""
    if ctx.invoked_subcommand is None:
        list_datasets(ctx, as_json)


@app.command("list")
def list_datasets(ctx: typer.Context, as_json: JsonFlag = False) -> None:
    """The same as `cleave datasets` alone."""
    with connect(ctx) as client:
        found = client.datasets.list()
    rows = [_row(d) for d in found]
    columns = ("in jobs", "name", "shape", "classes", "train", "validation", "test", "available")

    def show() -> None:
        output.table("datasets", columns, rows)
        if any(d.available is False and d.id is None for d in found):
            output.say(
                "Those that say no alone need their files on the service's machines: see CLEAVE_DATA_ROOT."
            )

    output.emit(found, as_json, show)


@app.command("upload")
def upload(
    ctx: typer.Context,
    source: Annotated[
        Path, typer.Argument(exists=True, help="A folder with a folder per class, or an archive.")
    ],
    name: Annotated[str, typer.Option(help="For people.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any other field of a dataset, e.g. image_size=64"),
    ] = None,
    key: Annotated[str | None, typer.Option(help="A name for this upload: again, to go on with it.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Send your own images and have them imported; waits for the report."""
    with connect(ctx) as client:
        sent = client.datasets.upload(source, name, key=key, **assign_all({}, settings))
        output.say(f"{sent.dataset.id} is sent", err=True)
        finish(client, sent.job, as_json)
        if not as_json:
            _show_dataset(client.datasets.get(sent.dataset.id or name))


@app.command("show")
def show(ctx: typer.Context, dataset: DatasetArgument, as_json: JsonFlag = False) -> None:
    """One dataset; of an uploaded one what its import found."""
    with connect(ctx) as client:
        found = client.datasets.get(dataset)
    output.emit(found, as_json, lambda: _show_dataset(found))


def _show_dataset(found: "Dataset") -> None:
    pairs: list[tuple[str, output.Cell]] = [("name", found.name), ("state", found.state)]
    pairs += [("classes", ", ".join(found.class_names)), ("train", found.train)]
    pairs += [("validation", found.validation), ("test", found.test)]
    report = (found.model_extra or {}).get("report") or {}
    pairs += [
        (key, json.dumps(value) if isinstance(value, list | dict) else value) for key, value in report.items()
    ]
    output.details(found.id or found.name, pairs)


@app.command("delete")
def delete(ctx: typer.Context, dataset: DatasetArgument) -> None:
    """Remove an uploaded dataset and its files; models trained on it stay."""
    with connect(ctx) as client:
        client.datasets.delete(dataset)


def _row(dataset: "Dataset") -> tuple[output.Cell, ...]:
    return (
        dataset.id or dataset.name,
        dataset.name,
        "x".join(map(str, dataset.input_shape or ())),
        len(dataset.class_names),
        dataset.train,
        dataset.validation,
        dataset.test,
        _availability(dataset),
    )


def _availability(dataset: "Dataset") -> str:
    if dataset.available is None:  # a service that does not say
        return "-"
    if not dataset.available and dataset.id is not None:
        return f"no: {dataset.state}"
    return "yes" if dataset.available else "no"
