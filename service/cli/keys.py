"""cleave keys ...: API keys, managed where the database is."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli import output
from service.cli.session import DataDirOption, JsonFlag, installed_settings, local_settings, reported_errors
from service.platform.scopes import Scope

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from service.platform.settings import Settings
    from service.tenants.schemas import KeyView

app = typer.Typer(help="API keys.", no_args_is_help=True)


@app.command()
def create(  # noqa: PLR0913 - the parameters are command line options
    ctx: typer.Context,
    tenant: Annotated[str, typer.Option(help="Created when there is none of this name.")] = "default",
    name: Annotated[str, typer.Option(help="What the key is for.")] = "cli",
    scope: Annotated[Scope, typer.Option(help="Each includes the one before.")] = Scope.ADMIN,
    expires_days: Annotated[
        int | None, typer.Option(min=1, max=3650, help="Days until it ends; default: it does not.")
    ] = None,
    data_dir: DataDirOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Make an API key. It is shown this once; the service keeps only a hash."""
    with reported_errors(ctx):
        from service.tenants.keys import create_key

        with opened_registry(data_dir, upgrade=True) as (session, settings):
            limits = {"scope": scope, "expires_in_days": expires_days}
            key = create_key(session, settings, tenant, name, **limits)
            _note(session, "keys create", f"key_{key.split('_')[1]}")
    if as_json:
        output.print_json({"api_key": key, "tenant": tenant, "name": name, "scope": scope})
    else:
        _show_once(key)
        # A key of another installation is unknown to the service that is meant: say whose it is.
        if settings.database_url is None:
            output.say(f"For the service that keeps its data in {settings.home}", err=True)


@app.command("list")
def list_keys(
    ctx: typer.Context,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's; default: all.")] = None,
    data_dir: DataDirOption = None,
    as_json: JsonFlag = False,
) -> None:
    """The keys there are, newest first. No secret is shown: none is stored."""
    with reported_errors(ctx):
        from service.tenants.keys import list_keys

        with opened_registry(data_dir) as (session, _):
            found = list_keys(session, tenant)
    columns = ("id", "tenant", "name", "scope", "state", "created", "last used")
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
        from service.tenants import keys

        with opened_registry(data_dir) as (session, _):
            key = keys.revoke(session, key_id)
            _note(session, "keys revoke", key_id)
    output.emit(key, as_json, lambda: output.say(f"{key.id} ({key.tenant}, {key.name}) is {key.state}"))


@app.command()
def rotate(
    ctx: typer.Context,
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="key_..., from `cleave keys list`.")],
    overlap_s: Annotated[
        int, typer.Option(min=0, max=7 * 86_400, help="For so long the secret before stays good.")
    ] = 86_400,
    data_dir: DataDirOption = None,
    as_json: JsonFlag = False,
) -> None:
    """A new secret for a key. It is shown this once; the one before stays good for a while."""
    with reported_errors(ctx):
        from service.platform.auth import load_pepper
        from service.tenants import keys

        with opened_registry(data_dir) as (session, settings):
            key = keys.rotate(session, load_pepper(settings), key_id, overlap_s)
            _note(session, "keys rotate", key_id)
    output.emit(key, as_json, lambda: _show_once(key.api_key))


def _note(session: "Session", command: str, key_id: str) -> None:
    from service.audit.trail import record
    from service.tenants.tables import ApiKey

    record(session, session.get_one(ApiKey, key_id).tenant_id, command, key_id)


def _show_once(key: str) -> None:
    output.say(f"{key}\n\nKeep it now, it is not shown again:\n  export CLEAVE_API_KEY={key}")


@contextmanager
def opened_registry(
    data_dir: Path | None, *, upgrade: bool = False
) -> Iterator[tuple["Session", "Settings"]]:
    """A writing session on the database of this machine's settings.

    `upgrade`: make the tables where there are none. Those of an older version stay: processes may use them.
    """
    from service import migrate
    from service.platform.database import Database
    from service.platform.startup import require_schema

    settings = local_settings(data_dir=data_dir) if upgrade else installed_settings(data_dir)
    database = Database(settings)
    if upgrade:
        if migrate.current(database.engine) is None:
            migrate.upgrade(settings)
        else:
            require_schema(settings)
    try:
        with database.write() as session:
            yield session, settings
    finally:
        database.dispose()


def _row(key: "KeyView") -> tuple[Any, ...]:
    used = output.moment(key.last_used_at) if key.last_used_at else "never"
    return key.id, key.tenant, key.name, key.scope.value, key.state, output.moment(key.created_at), used
