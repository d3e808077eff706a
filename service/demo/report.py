"""The demo's tables."""

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from service.cli.output import cell, percent
from service.cli.progress import duration
from service.demo.outcome import ApproachOutcome, ComposedForm, Promise, Stopwatch
from service.demo.standalone import Measured

_COMPOSED_COLUMNS = (
    "approach", "classes", "form", "full model", "composed", "parameters", "of model", "retention",
    "FLOPs of model", "1 image", "of 256",
)  # fmt: skip


def print_modules(console: Console, outcome: ApproachOutcome) -> None:
    """The ten one-class modules of one approach."""
    accuracy = percent(outcome.test_accuracy)
    title = f"{outcome.approach}: full model {accuracy} on test, {cell(outcome.model.parameters)} parameters"
    grid = _grid(
        title, ("class", "F1 (test)", "retention", "parameters", "of model", "FLOPs of model"), left=1
    )
    for module in outcome.modules:
        grid.add_row(
            ", ".join(module.classes),
            cell(module.score("test")),
            cell(percent(module.retention_rate)),
            cell(module.parameters),
            cell(percent(module.parameter_rate)),
            cell(percent(module.flops_rate)),
        )
    console.print(grid)


def print_compositions(console: Console, outcomes: Sequence[ApproachOutcome]) -> None:
    """Each composition beside the full model restricted to the same classes."""
    title = "Composed by class, no retraining: accuracy on the test split, sizes, latency on one thread"
    grid = _grid(title, _COMPOSED_COLUMNS, left=3)
    for outcome in outcomes:
        previous: list[str] = []
        for composed in outcome.composed:
            classes = composed.composition.classes
            if classes != previous:
                grid.add_section()
                _add_full_row(grid, outcome, composed)
            previous = classes
            _add_composed_row(grid, outcome.approach, composed)
    console.print(grid)


def print_steps(console: Console, watch: Stopwatch) -> None:
    """Seconds of each step."""
    grid = _grid("Time", ("step", "seconds"), left=1)
    for name, seconds in watch.steps:
        grid.add_row(name, f"{seconds:.1f}")
    grid.add_section()
    grid.add_row("all", f"{watch.total:.1f} ({duration(watch.total)})")
    console.print(grid)


def print_end(console: Console, promises: Sequence[Promise], plots: Sequence[Path], output: Path) -> None:
    """Whether the promises hold, and where everything is."""
    for promise in promises:
        mark = "[green]holds [/green]" if promise.kept else "[red]BROKEN[/red]"
        console.print(f"{mark} {promise.text}", highlight=False)
    console.print("\nPlots:")
    for plot in plots:
        console.print(f"  {plot}", highlight=False, soft_wrap=True)
    console.print(f"Everything, for programs: {output / 'demo.json'}", highlight=False, soft_wrap=True)


def _grid(title: str, columns: Sequence[str], left: int) -> Table:
    """A table whose first `left` columns hold words and the others numbers."""
    grid = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for index, column in enumerate(columns):
        grid.add_column(column, justify="left" if index < left else "right")
    return grid


def _add_full_row(grid: Table, outcome: ApproachOutcome, composed: ComposedForm) -> None:
    model = outcome.model
    numbers = (percent(composed.full_accuracy), None, cell(model.parameters), None, None, None)
    classes = ",".join(composed.composition.classes)
    grid.add_row(
        outcome.approach, classes, "full model", *map(cell, numbers), *_latency(outcome.full_standalone)
    )


def _add_composed_row(grid: Table, approach: str, composed: ComposedForm) -> None:
    made = composed.composition
    numbers = (
        percent(composed.full_accuracy),
        percent(composed.accuracy),
        cell(made.parameters),
        percent(made.parameter_rate),
        percent(made.retention_rate),
        percent(made.flops_rate),
    )
    classes = ",".join(made.classes)
    grid.add_row(approach, classes, composed.form, *map(cell, numbers), *_latency(composed.standalone))


def _latency(measured: Measured | None) -> tuple[str, str]:
    if measured is None:
        return "-", "-"
    return f"{measured.latency_ms:.2f} ms", f"{measured.batch_us_per_image:.0f} us"
