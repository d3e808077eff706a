"""cleave keys ...: API keys, managed where the database is."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli import output
from service.cli.session import DataDirOption, JsonFlag, local_settings, reported_errors

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from service.platform.settings import Settings
    from service.tenants.schemas import KeyView

app = typer.Typer(help="API keys.", no_args_is_help=True)


@app.command()
def create(
    ctx: typer.Context,
    tenant: Annotated[str, typer.Option(help="Created when there is none of this name.")] = "default",
    name: Annotated[str, typer.Option(help="What the key is for.")] = "cli",
    data_dir: DataDirOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Make an API key. It is shown this once; the service keeps only a hash."""
    with reported_errors(ctx):
        from service.tenants.service import create_key

        with opened_registry(data_dir, upgrade=True) as (session, settings):
            key = create_key(session, settings, tenant, name)
    if as_json:
        output.print_json({"api_key": key, "tenant": tenant, "name": name})
    else:
        typer.echo(f"{key}\n\nKeep it now, it is not shown again:\n  export CLEAVE_API_KEY={key}")


@app.command("list")
def list_keys(
    ctx: typer.Context,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's; default: all.")] = None,
    data_dir: DataDirOption = None,
    as_json: JsonFlag = False,
) -> None:
    """The keys there are, newest first. No secret is shown: none is stored."""
    with reported_errors(ctx):
        from service.tenants.service import list_keys

        with opened_registry(data_dir) as (session, _):
            found = list_keys(session, tenant)
    columns = ("id", "tenant", "name", "state", "created")
    output.emit(found, as_json, lambda: output.table("API keys", columns, [_row(key) for key in found]))


@app.command()
def revoke(
    ctx: typer.Context,
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="key_..., from `cleave keys list`.")],
    data_dir: DataDirOption = None,
    as_json: JsonFlag = False,
) -> None:
    """End a key: a second from now it opens nothing. There is no way back."""
    with reported_errors(ctx):
        from service.tenants.service import revoke_key

        with opened_registry(data_dir) as (session, _):
            key = revoke_key(session, key_id)
    output.emit(key, as_json, lambda: typer.echo(f"{key.id} ({key.tenant}, {key.name}) is {key.state}"))


@contextmanager
def opened_registry(
    data_dir: Path | None, *, upgrade: bool = False
) -> Iterator[tuple["Session", "Settings"]]:
    """A writing session on the database of this machine's settings; made or brought up to date on demand."""
    from service import migrate
    from service.platform.database import Database

    settings = local_settings(data_dir=data_dir)
    if upgrade:
        migrate.upgrade(settings)
    database = Database(settings)
    try:
        with database.write() as session:
            yield session, settings
    finally:
        database.dispose()


def _row(key: "KeyView") -> tuple[Any, ...]:
    return key.id, key.tenant, key.name, key.state, output.moment(key.created_at)
