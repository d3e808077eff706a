"""cleave architectures | models ... | modules ...: what there is."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli import output
from service.cli.jobs import follow
from service.cli.session import JsonFlag, WaitFlag, connect
from service.cli.spec_input import assign_all

if TYPE_CHECKING:
    from service.client.schemas import Artifact, Composition, Metric, Model, Module

models_app = typer.Typer(help="Trained networks.", no_args_is_help=True)
modules_app = typer.Typer(help="Modules extracted from them.", no_args_is_help=True)

MODULE_COLUMNS = (
    "id", "classes", "form", "F1 (validation)", "retention", "parameters", "of standard", "FLOPs of standard",
)  # fmt: skip


def architectures(ctx: typer.Context, as_json: JsonFlag = False) -> None:
    """The network families that can be trained."""
    with connect(ctx) as client:
        found = client.architectures.list()
    rows = [(a.name, _pixels(a.min_size, a.max_size), a.description) for a in found]
    columns = ("name", "images", "description")
    output.emit(found, as_json, lambda: output.table("architectures", columns, rows))


@models_app.command("show")
def show_model(
    ctx: typer.Context,
    model_id: Annotated[str, typer.Argument(metavar="MODEL_ID")],
    as_json: JsonFlag = False,
) -> None:
    """One model: classes, figures, files."""
    with connect(ctx) as client:
        model = client.models.get(model_id)
    output.emit(model, as_json, lambda: _show_model(model))


@models_app.command("import")
def import_model(  # noqa: PLR0913 - the parameters are command line options
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A safetensors file.")],
    architecture: Annotated[str, typer.Option(help="Whose tensors they are: see `cleave architectures`.")],
    classes: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="Their names, in the order of the outputs.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Whose classes, image size and normalisation it has.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Make it the next version of this name.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any other field, e.g. input_shape=[3,32,32]"),
    ] = None,
    key: Annotated[str | None, typer.Option(help="A name for this upload: again, to go on with it.")] = None,
    wait: WaitFlag = True,
    as_json: JsonFlag = False,
) -> None:
    """Make a model of weights that were trained elsewhere."""
    given = {"dataset": dataset, "name": name, "classes": classes and classes.split(",")}
    options = {name: value for name, value in given.items() if value is not None}
    with connect(ctx) as client:
        job = client.models.import_(file, architecture=architecture, key=key, **assign_all(options, settings))
        follow(client, job, wait, as_json)


@models_app.command("classes")
def model_classes(
    ctx: typer.Context,
    model_id: Annotated[str, typer.Argument(metavar="MODEL_ID")],
    as_json: JsonFlag = False,
) -> None:
    """The classes a model knows, in the order of its outputs."""
    with connect(ctx) as client:
        found = client.models.classes(model_id)
    rows = [(c.name, c.position) for c in found]
    output.emit(found, as_json, lambda: output.table(model_id, ("class", "output"), rows))


@modules_app.command("show")
def show_module(
    ctx: typer.Context,
    module_id: Annotated[str, typer.Argument(metavar="MODULE_ID")],
    as_json: JsonFlag = False,
) -> None:
    """One module: size, figures, files."""
    with connect(ctx) as client:
        module = client.modules.get(module_id)
    output.emit(module, as_json, lambda: show_network(module))


def delete(
    ctx: typer.Context,
    thing: Annotated[str, typer.Argument(metavar="ID", help="mdl_..., mod_... or cmp_...")],
    as_json: JsonFlag = False,
) -> None:
    """Remove a model, module or composition that nothing else is made of."""
    with connect(ctx) as client:
        removers = {
            "mdl": client.models.delete, "mod": client.modules.delete, "cmp": client.compositions.delete,
        }  # fmt: skip
        remove = removers.get(kind_of(thing))
        if remove is None:
            raise typer.BadParameter(
                "begins with mdl_, mod_ or cmp_; for datasets, `cleave datasets delete`", param_hint="ID"
            )
        remove(thing)
    if as_json:
        output.print_json({"id": thing, "deleted": True})
    else:
        output.say(f"{thing} is removed; `cleave gc` frees the space")


def kind_of(reference: str) -> str:
    """The prefix of an id, and that of a model's for `name@alias`."""
    return "mdl" if "@" in reference else reference.partition("_")[0]


def module_row(module: "Module") -> tuple[output.Cell, ...]:
    return (
        module.id,
        ", ".join(module.classes),
        module.form,
        module.score("validation"),
        output.percent(module.retention_rate),
        module.parameters,
        output.percent(module.parameter_rate),
        output.percent(module.flops_rate),
    )


def show_network(network: "Module | Composition") -> None:
    """A module or composition: what it is, how big, how good, and its files."""
    folded = network.form == "static" and network.fold_amplitudes
    output.details(
        network.id,
        [
            ("model", network.model_id),
            ("classes", ", ".join(network.classes)),
            ("form", f"{network.form} + amplitudes" if folded else network.form),
            ("retention", output.percent(network.retention_rate)),
            ("parameters", network.parameters),
            ("of the standard network", output.percent(network.parameter_rate)),
            ("FLOPs of the standard network", output.percent(network.flops_rate)),
            *[("note", note) for note in network.notes],
        ],
    )  # fmt: skip
    _show_figures(network.metrics, network.artifacts)


def _pixels(smallest: int, largest: int) -> str:
    return f"{smallest} px" if smallest == largest else f"{smallest} to {largest} px"


def _show_model(model: "Model") -> None:
    output.details(
        model.id,
        [
            ("name", f"{model.name} version {model.version}" if model.name else None),
            ("aliases", ", ".join(model.aliases) or None),
            ("architecture", model.architecture),
            ("approach", model.approach),
            ("dataset", model.dataset),
            ("classes", ", ".join(model.classes)),
            ("input", "x".join(map(str, model.input_shape))),
            ("parameters", model.parameters),
            ("FLOPs", model.flops),
            ("made by", model.job_id),
            ("started from", model.initial_model_id),
        ],
    )
    _show_figures(model.metrics, model.artifacts)


def _data(metric: "Metric") -> str:
    return f"{metric.split} of {metric.dataset}" if metric.dataset else metric.split or "-"


def _show_figures(metrics: "Sequence[Metric]", artifacts: "Sequence[Artifact]") -> None:
    figures = [(m.name, _data(m), m.class_name or "-", output.figure(m.name, m.value)) for m in metrics]
    if figures:
        output.table("figures", ("name", "split", "class", "value"), figures)
    files = [(a.id, a.role or "-", a.filename, output.size(a.size), a.sha256[:16]) for a in artifacts]
    output.table("files", ("id", "role", "name", "size", "sha256 (start)"), files)
