"""The demo's tables, readable on a terminal of 80 columns."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from service.cli.output import cell, percent
from service.cli.progress import duration
from service.demo.outcome import ApproachOutcome, ComposedForm, Promise, Stopwatch, class_set
from service.demo.standalone import Measured

_MODULE_COLUMNS = ("class", "F1 (test)", "retained", "parameters", "share", "FLOPs")
_COMPOSED_COLUMNS = ("form", "accuracy", "retained", "parameters", "share", "FLOPs", "1 image", "of 256")
_LEGEND = """
accuracy  on the test images of these classes, without any retraining
retained  neurons kept, of all masked layers
share     parameters, of the standard network's; it has no mask generators, the
          full model of nemo and mwt (published recipes) has them all, a gated
          module keeps its slice of them; cleave, the default recipe, needs none
FLOPs     likewise
1 image   time for one image, on one thread, the fastest of 30
of 256    time per image of a batch of 256, likewise
"""


def print_modules(console: Console, outcome: ApproachOutcome) -> None:
    """The one-class modules of one approach."""
    title = f"{outcome.approach}: {percent(outcome.test_accuracy)} on test; one module per class"
    grid = _grid(title, _MODULE_COLUMNS)
    for module in outcome.modules:
        grid.add_row(
            ", ".join(module.classes),
            cell(module.score("test")),
            cell(percent(module.retention_rate)),
            cell(module.parameters),
            _rate(module.parameter_rate),
            _rate(module.flops_rate),
        )
    console.print(grid)


def print_compositions(console: Console, outcomes: Sequence[ApproachOutcome]) -> None:
    """Each composition in each form below the full model restricted to the same classes."""
    for outcome in outcomes:
        for _, found in groupby(outcome.composed, key=lambda made: made.composition.classes):
            forms = list(found)
            grid = _grid(f"{outcome.approach}: {class_set(forms[0].composition.classes)}", _COMPOSED_COLUMNS)
            _add_full_row(grid, outcome, forms[0])
            for composed in forms:
                _add_composed_row(grid, composed)
            console.print(grid)
    console.print(_LEGEND, style="dim", highlight=False)


def print_steps(console: Console, watch: Stopwatch) -> None:
    """Seconds of each step."""
    grid = _grid("Time", ("step", "seconds"))
    for name, seconds in watch.steps:
        grid.add_row(name, f"{seconds:.1f}")
    grid.add_section()
    grid.add_row("all", f"{watch.total:.1f} ({duration(watch.total)})")
    console.print(grid)


def print_end(console: Console, promises: Sequence[Promise], plots: Sequence[Path], output: Path) -> None:
    """Whether the promises hold, and where everything is."""
    for promise in promises:
        mark = "[green]holds [/green]" if promise.kept else "[red]BROKEN[/red]"
        console.print(f"{mark} {promise.text}", highlight=False, soft_wrap=True)
    console.print("\nPlots:")
    for plot in plots:
        console.print(f"  {plot}", highlight=False, soft_wrap=True)
    console.print(f"Everything, for programs: {output / 'demo.json'}", highlight=False, soft_wrap=True)


def _grid(title: str, columns: Sequence[str]) -> Table:
    """A table whose first column holds words and the others numbers."""
    grid = Table(title=f"\n{title}", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=0)
    for index, column in enumerate(columns):
        grid.add_column(column, justify="left" if index == 0 else "right", no_wrap=True)
    return grid


def _add_full_row(grid: Table, outcome: ApproachOutcome, composed: ComposedForm) -> None:
    model, made = outcome.model, composed.composition
    standard = made.parameters / made.parameter_rate if made.parameters and made.parameter_rate else None
    standard_flops = made.flops / made.flops_rate if made.flops and made.flops_rate else None
    grid.add_row(
        "full model, restricted",
        cell(percent(composed.full_accuracy)),
        cell(percent(1.0)),
        cell(model.parameters),
        _rate(model.parameters / standard if standard else None),
        _rate(model.flops / standard_flops if model.flops and standard_flops else None),
        *_latency(outcome.full_standalone),
    )


def _add_composed_row(grid: Table, composed: ComposedForm) -> None:
    made = composed.composition
    grid.add_row(
        composed.form,
        cell(percent(composed.accuracy)),
        cell(percent(made.retention_rate)),
        cell(made.parameters),
        _rate(made.parameter_rate),
        _rate(made.flops_rate),
        *_latency(composed.standalone),
    )


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"


def _latency(measured: Measured | None) -> tuple[str, str]:
    if measured is None:
        return "-", "-"
    return f"{measured.latency_ms:.2f} ms", f"{measured.batch_us_per_image:.0f} us"
