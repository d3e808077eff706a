"""cleave demo."""

from pathlib import Path
from typing import Annotated

import typer

from service.cli.session import fail, reported_errors


def demo(
    ctx: typer.Context,
    output: Annotated[Path, typer.Option(help="Folder for downloads, plots and demo.json.")] = Path(
        "demo-output"
    ),
    keep: Annotated[bool, typer.Option("--keep", help="Keep the service's data in OUTPUT/service.")] = False,
    epochs: Annotated[int | None, typer.Option(min=1, help="Fewer for a quick look.")] = None,
) -> None:
    """Train, extract, compose, download and use modules of real images, on an embedded service."""
    with reported_errors(ctx):
        try:
            from service.demo.run import run_demo
        except ModuleNotFoundError as error:
            fail(
                "missing_package",
                f"the demo needs {error.name}; install it with `pip install cleave[engine,demo]`",
            )
        from rich.console import Console

        from service.demo.plan import Plan

        plan = Plan() if epochs is None else Plan(epochs=epochs)
        if not run_demo(output.absolute(), plan, keep, Console()):
            fail("promise_broken", "the numbers above do not hold what the demo promises")
