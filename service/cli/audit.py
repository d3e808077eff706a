"""cleave audit: who did what."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli import output
from service.cli.session import AfterOption, JsonFlag, LimitOption, connect

if TYPE_CHECKING:
    from service.client.account import AuditEvent

_COLUMNS = ("when", "key", "operation", "resource", "status", "address")


def audit(  # noqa: PLR0913 - the parameters are command line options
    ctx: typer.Context,
    operation: Annotated[str | None, typer.Option(help="E.g. jobs_create.")] = None,
    resource: Annotated[str | None, typer.Option(help="The id of a job, a model, a key, ...")] = None,
    key: Annotated[str | None, typer.Option(help="key_...: what was done with it.")] = None,
    limit: LimitOption = None,
    after: AfterOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Every request of your tenant that could change something, newest first. Needs a key of scope admin."""
    filters = {"operation": operation, "resource": resource, "key_id": key}
    with connect(ctx) as client:
        page = client.audit_events.list(limit=limit, after=after, **filters)
    output.emit(page, as_json, lambda: output.table("audit", _COLUMNS, [_row(e) for e in page.data]))


def _row(event: "AuditEvent") -> tuple[Any, ...]:
    when = output.moment(event.created_at) if event.created_at else ""
    return (
        when, event.key_id or "", event.operation, event.resource or "", event.status, event.address or "",
    )  # fmt: skip
