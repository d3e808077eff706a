"""cleave tenants ...: who there is, and how much each may ask for; managed where the database is."""

from typing import TYPE_CHECKING, Annotated

import typer

from service.cli import output
from service.cli.keys import opened_registry
from service.cli.session import DataDirOption, JsonFlag, reported_errors

if TYPE_CHECKING:
    from service.tenants.schemas import TenantView

app = typer.Typer(help="Tenants and their limits.", no_args_is_help=True)
_AS_EVERYBODY = -1


@app.command("list")
def list_tenants(ctx: typer.Context, data_dir: DataDirOption = None, as_json: JsonFlag = False) -> None:
    """The tenants there are, and their own limits."""
    with reported_errors(ctx):
        from service.tenants.service import list_tenants

        with opened_registry(data_dir) as (session, _):
            found = list_tenants(session)
    columns = ("tenant", "max running", "max queued", "max stored MiB")
    output.emit(found, as_json, lambda: output.table("tenants", columns, [_row(tenant) for tenant in found]))


@app.command()
def limit(  # noqa: PLR0913 - the parameters are command line options
    ctx: typer.Context,
    tenant: Annotated[str, typer.Argument(metavar="NAME")],
    max_running: Annotated[
        int | None, typer.Option(min=_AS_EVERYBODY, help="Jobs that run at a time; -1: as everybody.")
    ] = None,
    max_queued: Annotated[
        int | None, typer.Option(min=_AS_EVERYBODY, help="Jobs that wait; -1: as everybody.")
    ] = None,
    max_stored_mib: Annotated[
        int | None, typer.Option(min=_AS_EVERYBODY, help="MiB in the store; -1: as everybody.")
    ] = None,
    data_dir: DataDirOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Give a tenant limits of its own; what is not named stays as it is."""
    given = {"max_running": max_running, "max_queued": max_queued, "max_stored_mib": max_stored_mib}
    limits = {name: None if v == _AS_EVERYBODY else v for name, v in given.items() if v is not None}
    with reported_errors(ctx):
        from service.tenants.service import limit_tenant

        with opened_registry(data_dir) as (session, _):
            found = limit_tenant(session, tenant, limits)
    output.emit(found, as_json, lambda: output.details(found.name, _limits(found)))


def _limits(tenant: "TenantView") -> list[tuple[str, output.Cell]]:
    limits = {
        "max running": tenant.max_running,
        "max queued": tenant.max_queued,
        "max stored MiB": tenant.max_stored_mib,
    }
    return [(name, "as everybody" if limit is None else limit) for name, limit in limits.items()]


def _row(tenant: "TenantView") -> tuple[output.Cell, ...]:
    return tenant.name, *(limit for _, limit in _limits(tenant))
