"""cleave models list, cleave modules list, cleave classes: searching the registry."""

from typing import Annotated

import typer

from service.cli import output
from service.cli.registry import MODULE_COLUMNS, module_row
from service.cli.session import AfterOption, JsonFlag, LimitOption, connect

Text = Annotated[str | None, typer.Option()]
ClassOption = Annotated[str | None, typer.Option("--class", help="A class it knows.")]
FormOption = Annotated[str | None, typer.Option(help="gated or static.")]
FloorOption = Annotated[float | None, typer.Option(help="At least this, on the data of --split.")]
SizeOption = Annotated[int | None, typer.Option("--max-parameters", help="At most so many.")]
SplitOption = Annotated[str | None, typer.Option(help="validation (the default) or test.")]
TagOption = Annotated[list[str] | None, typer.Option("--tag", help="Carries each of them.")]
SortOption = Annotated[
    str | None, typer.Option(help="created_at, parameters, f1 or accuracy; with - the largest first.")
]


def list_models(  # noqa: PLR0913 - the parameters are command line options
    ctx: typer.Context,
    architecture: Text = None,
    approach: Text = None,
    dataset: Text = None,
    class_name: ClassOption = None,
    name: Annotated[str | None, typer.Option(help="All versions of this name.")] = None,
    tags: TagOption = None,
    min_accuracy: FloorOption = None,
    split: SplitOption = None,
    max_parameters: SizeOption = None,
    sort: SortOption = None,
    limit: LimitOption = None,
    after: AfterOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Models that fit, newest first unless sorted otherwise."""
    with connect(ctx) as client:
        page = client.models.list(
            architecture=architecture, approach=approach, dataset=dataset, class_name=class_name, name=name,
            tags=tags, min_accuracy=min_accuracy, split=split, max_parameters=max_parameters, sort=sort,
            limit=limit, after=after,
        )  # fmt: skip
    rows = [
        (
            m.id, f"{m.name} {m.version}" if m.name else None, m.architecture, m.approach, m.dataset,
            m.parameters, output.percent(m.metric("accuracy", split or "validation")),
        )
        for m in page.data
    ]  # fmt: skip
    measured = f"{split or 'validation'} accuracy"
    columns = ("id", "name", "architecture", "approach", "dataset", "parameters", measured)
    output.emit(page, as_json, lambda: output.table("models", columns, rows))


def list_modules(  # noqa: PLR0913 - the parameters are command line options
    ctx: typer.Context,
    model_id: Annotated[str | None, typer.Option("--model")] = None,
    form: FormOption = None,
    class_name: ClassOption = None,
    approach: Text = None,
    dataset: Text = None,
    tags: TagOption = None,
    min_f1: FloorOption = None,
    min_accuracy: FloorOption = None,
    split: SplitOption = None,
    max_parameters: SizeOption = None,
    sort: SortOption = None,
    limit: LimitOption = None,
    after: AfterOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Modules that fit, newest first unless sorted otherwise."""
    with connect(ctx) as client:
        page = client.modules.list(
            model_id=model_id, form=form, class_name=class_name, approach=approach, dataset=dataset,
            tags=tags, min_f1=min_f1, min_accuracy=min_accuracy, split=split, max_parameters=max_parameters,
            sort=sort, limit=limit, after=after,
        )  # fmt: skip
    rows = [module_row(module) for module in page.data]
    output.emit(page, as_json, lambda: output.table("modules", MODULE_COLUMNS, rows))


def classes(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="A class, e.g. 3 or cat.")],
    min_f1: FloorOption = None,
    max_params: Annotated[int | None, typer.Option("--max-parameters", help="At most so many.")] = None,
    form: FormOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Which modules know a class, best first."""
    with connect(ctx) as client:
        found = client.classes.find(name, min_f1=min_f1, max_params=max_params, form=form)
    rows = [(*module_row(e.module), e.model_id) for e in found]
    columns = (*MODULE_COLUMNS, "model")
    empty = f"no module knows {name!r}; `cleave models classes MODEL_ID` lists a model's classes"
    output.emit(found, as_json, lambda: output.table(f"modules that know {name!r}", columns, rows, empty))
