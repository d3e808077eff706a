"""cleave models|modules|compositions card, lineage, compare, label; cleave models name, alias."""

from typing import Annotated, Literal

import typer

from service.cli import output
from service.cli.session import JsonFlag, connect

Collection = Literal["models", "modules", "compositions"]


def add_commands(app: typer.Typer, collection: Collection) -> None:
    """The commands that models, modules and compositions share."""

    @app.command()
    def card(
        ctx: typer.Context, owner_id: Annotated[str, typer.Argument(metavar="ID")], as_json: JsonFlag = False
    ) -> None:
        """What one should know before using it, as Markdown."""
        with connect(ctx) as client:
            records = getattr(client, collection)
            if as_json:
                output.print_json(records.card(owner_id))
            else:
                output.say(records.card_markdown(owner_id), nl=False)

    @app.command()
    def lineage(
        ctx: typer.Context, owner_id: Annotated[str, typer.Argument(metavar="ID")], as_json: JsonFlag = False
    ) -> None:
        """The data, job, attempt, code and seed that made it, and what uses it."""
        with connect(ctx) as client:
            found = getattr(client, collection).lineage(owner_id)
        model = found.model
        rows = [
            ("dataset", f"{model.dataset} {model.dataset_digest}"),
            ("model", model.id),
            *_maker("trained by", model.made_by),
            *([] if found.kind == "model" or not found.made_by else _maker("cut by", found.made_by)),
        ]
        if found.made_of:
            rows.append(("made of", " ".join(found.made_of)))
        if found.kind == "model":
            rows.append(("modules", f"{found.modules.total} {' '.join(found.modules.ids)}"))
        if found.kind != "composition":
            rows.append(("compositions", f"{found.compositions.total} {' '.join(found.compositions.ids)}"))
        output.emit(found, as_json, lambda: output.details(found.id, rows))

    @app.command()
    def compare(
        ctx: typer.Context,
        ids: Annotated[list[str], typer.Argument(metavar="ID ID...")],
        everything: Annotated[bool, typer.Option("--all", help="Also what is the same.")] = False,
        as_json: JsonFlag = False,
    ) -> None:
        """Two or more side by side: what differs."""
        with connect(ctx) as client:
            found = getattr(client, collection).compare(ids)
        rows = [
            (
                " ".join(filter(None, (row.name, row.split, row.class_name))),
                *(_value(row.name, v) for v in row.values),
            )
            for row in found.rows
            if everything or not row.same
        ]
        output.emit(found, as_json, lambda: output.table("compared", ("", *found.ids), rows))

    @app.command()
    def label(
        ctx: typer.Context,
        owner_id: Annotated[str, typer.Argument(metavar="ID")],
        tags: Annotated[list[str] | None, typer.Option("--tag", help="Replaces the whole set.")] = None,
        pairs: Annotated[
            list[str] | None, typer.Option("--metadata", help="KEY=VALUE; KEY alone takes it away.")
        ] = None,
        as_json: JsonFlag = False,
    ) -> None:
        """Set tags and metadata."""
        given = [pair.partition("=") for pair in pairs or []]
        metadata = {key: value if equals else None for key, equals, value in given}
        with connect(ctx) as client:
            changed = getattr(client, collection).update(owner_id, tags=tags, metadata=metadata or None)
        rows = [("tags", ", ".join(changed.tags)), *changed.metadata.items()]
        output.emit(changed, as_json, lambda: output.details(changed.id, rows))


def name(
    ctx: typer.Context,
    model_id: Annotated[str, typer.Argument(metavar="MODEL_ID")],
    new_name: Annotated[str, typer.Argument(metavar="NAME")],
    as_json: JsonFlag = False,
) -> None:
    """Make a model the next version of a name."""
    with connect(ctx) as client:
        model = client.models.update(model_id, name=new_name)
    told = f"{model.id} is {model.name} version {model.version}"
    output.emit(model, as_json, lambda: output.say(told))


def alias(
    ctx: typer.Context,
    model_id: Annotated[str, typer.Argument(metavar="MODEL_ID")],
    word: Annotated[str, typer.Argument(metavar="ALIAS")],
    as_json: JsonFlag = False,
) -> None:
    """Let NAME@ALIAS mean this model; commands take that in place of its id."""
    with connect(ctx) as client:
        model = client.models.put_alias(model_id, word)
    output.emit(model, as_json, lambda: output.say(f"{model.name}@{word} is {model.id}"))


def _maker(title: str, made_by: object) -> list[tuple[str, output.Cell]]:
    values = {
        name: getattr(made_by, name) for name in ("job_id", "attempt", "seed", "spec_sha256", "versions")
    }
    versions = ", ".join(f"{name} {version}" for name, version in values.pop("versions").items())
    facts = ", ".join(f"{name} {value}" for name, value in values.items() if value is not None)
    return [(title, facts), ("with", versions or "-")]


def _value(name: str, value: object) -> output.Cell:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return output.figure(name, value) if isinstance(value, str | int | float | None) else str(value)
