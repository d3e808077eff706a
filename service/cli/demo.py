"""cleave demo."""

from pathlib import Path
from typing import Annotated

import typer

from service.cli.session import JsonFlag, fail, reported_errors


def demo(
    ctx: typer.Context,
    output: Annotated[Path, typer.Option(help="Folder for downloads, plots and demo.json.")] = Path(
        "demo-output"
    ),
    keep: Annotated[bool, typer.Option("--keep", help="Keep the service's data in OUTPUT/service.")] = False,
    approaches: Annotated[
        list[str] | None, typer.Option("--approach", help="cleave, nemo or mwt; default: all.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Fewer for a quick look.")] = None,
    as_json: JsonFlag = False,
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

        from service.demo.plan import APPROACHES, Plan

        chosen = tuple(approaches or APPROACHES)
        if unknown := set(chosen) - set(APPROACHES):
            raise typer.BadParameter(
                f"{', '.join(sorted(unknown))} is not in the demo", param_hint="--approach"
            )
        plan = Plan(chosen) if epochs is None else Plan(chosen, epochs)
        holds = run_demo(output.absolute(), plan, keep, Console(stderr=as_json))
        if as_json:
            typer.echo((output / "demo.json").read_text(encoding="utf-8"))
        if not holds:
            fail("promise_broken", "the numbers above do not hold what the demo promises")
