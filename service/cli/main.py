"""The `cleave` command."""

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from service.cli import (
    artifacts,
    audit,
    compose,
    compositions,
    datasets,
    demo,
    health,
    jobs,
    keys,
    output,
    processes,
    records,
    registry,
    search,
    store,
    tenants,
    usage,
    webhooks,
    workers,
)  # fmt: skip
from service.cli.session import DEFAULT_URL, JsonFlag, Options, report_uncaught

app = typer.Typer(
    help="Train networks that come apart by class, and recompose their modules.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
HERE, THERE = "This machine", "A running service"


@app.callback()
def options(
    ctx: typer.Context,
    url: Annotated[str, typer.Option(envvar="CLEAVE_URL", help="Where the service listens.")] = DEFAULT_URL,
    api_key: Annotated[
        str | None, typer.Option(envvar="CLEAVE_API_KEY", help="Shown once, by `cleave keys create`.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show where an error happened.")] = False,
) -> None:
    """Global options."""
    ctx.obj = Options(url, api_key, verbose)
    if verbose:
        sys.excepthook = sys.__excepthook__


@app.command(rich_help_panel=HERE)
def version(as_json: JsonFlag = False) -> None:
    """The installed version."""
    from importlib.metadata import version as installed

    found = {"version": installed("cleave"), "python": sys.version.split()[0]}
    if as_json:
        output.print_json(found)
    else:
        output.say(f"cleave {found['version']} (Python {found['python']})")


_LOCAL: tuple[Callable[..., None], ...] = (
    processes.up, processes.api, processes.dispatcher, processes.worker, demo.demo,
    store.gc, store.verify, store.backup, store.restore, health.health,
)  # fmt: skip
_REMOTE: tuple[Callable[..., None], ...] = (
    audit.audit, usage.usage,
    registry.architectures, search.classes, compose.compose, compose.download,
    compose.bundle, registry.delete,
)  # fmt: skip
for command in _LOCAL:
    app.command(rich_help_panel=HERE)(command)
for group, name in (
    (processes.db_app, "db"),
    (keys.app, "keys"),
    (tenants.app, "tenants"),
    (workers.app, "workers"),
):
    app.add_typer(group, name=name, rich_help_panel=HERE)
registry.models_app.command("list")(search.list_models)
registry.models_app.command("name")(records.name)
registry.models_app.command("alias")(records.alias)
registry.modules_app.command("list")(search.list_modules)
records.add_commands(registry.models_app, "models")
records.add_commands(registry.modules_app, "modules")
records.add_commands(compositions.app, "compositions")
for command in _REMOTE:
    app.command(rich_help_panel=THERE)(command)
for group, name in (
    (datasets.app, "datasets"),
    (jobs.app, "jobs"),
    (registry.models_app, "models"),
    (registry.modules_app, "modules"),
    (compositions.app, "compositions"),
    (artifacts.app, "artifacts"),
    (webhooks.app, "webhooks"),
):
    app.add_typer(group, name=name, rich_help_panel=THERE)


def main() -> None:
    """Entry point of the `cleave` script."""
    sys.excepthook = report_uncaught
    typer.main.get_command(app)(prog_name="cleave")
