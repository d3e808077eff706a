"""cleave architectures | models ... | modules ... | classes: what there is."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli import output
from service.cli.session import AfterOption, JsonFlag, LimitOption, connect

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


def classes(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="A class, e.g. 3 or cat.")],
    as_json: JsonFlag = False,
) -> None:
    """Which modules know a class, best first."""
    with connect(ctx) as client:
        found = client.classes.find(name)
    rows = [(*module_row(e.module), e.model_id) for e in found]
    columns = (*MODULE_COLUMNS, "model")
    empty = f"no module knows {name!r}; `cleave models classes MODEL_ID` lists a model's classes"
    output.emit(found, as_json, lambda: output.table(f"modules that know {name!r}", columns, rows, empty))


@models_app.command("list")
def list_models(
    ctx: typer.Context, limit: LimitOption = None, after: AfterOption = None, as_json: JsonFlag = False
) -> None:
    """Models, newest first."""
    with connect(ctx) as client:
        page = client.models.list(limit=limit, after=after)
    rows = [
        (m.id, m.architecture, m.approach, m.parameters, m.metric("accuracy", "validation"))
        for m in page.data
    ]
    columns = ("id", "architecture", "approach", "parameters", "validation accuracy")
    output.emit(page, as_json, lambda: output.table("models", columns, rows))


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


@modules_app.command("list")
def list_modules(  # noqa: PLR0913 - the parameters are command line options
    ctx: typer.Context,
    model_id: Annotated[str | None, typer.Option("--model")] = None,
    form: Annotated[str | None, typer.Option(help="gated or static.")] = None,
    class_name: Annotated[str | None, typer.Option("--class")] = None,
    limit: LimitOption = None,
    after: AfterOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Modules, newest first."""
    with connect(ctx) as client:
        page = client.modules.list(
            model_id=model_id, form=form, class_name=class_name, limit=limit, after=after
        )
    rows = [module_row(module) for module in page.data]
    output.emit(page, as_json, lambda: output.table("modules", MODULE_COLUMNS, rows))


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
        remove = removers.get(thing.partition("_")[0])
        if remove is None:
            raise typer.BadParameter("begins with mdl_, mod_ or cmp_", param_hint="ID")
        remove(thing)
    if as_json:
        output.print_json({"id": thing, "deleted": True})
    else:
        typer.echo(f"{thing} is removed; `cleave gc` frees the space")


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
            ("architecture", model.architecture),
            ("approach", model.approach),
            ("classes", ", ".join(model.classes)),
            ("input", "x".join(map(str, model.input_shape))),
            ("parameters", model.parameters),
            ("FLOPs", model.flops),
            ("made by", model.job_id),
        ],
    )
    _show_figures(model.metrics, model.artifacts)


def _show_figures(metrics: "Sequence[Metric]", artifacts: "Sequence[Artifact]") -> None:
    figures = [(m.name, m.split or "-", m.class_name or "-", m.value) for m in metrics]
    if figures:
        output.table("figures", ("name", "split", "class", "value"), figures)
    files = [(a.id, a.role or "-", a.filename, output.size(a.size), a.sha256[:16]) for a in artifacts]
    output.table("files", ("id", "role", "name", "size", "sha256 (start)"), files)
