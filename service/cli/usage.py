"""cleave usage: what there is, what it took, and what is left."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli import output
from service.cli.session import JsonFlag, connect

if TYPE_CHECKING:
    from service.client.account import Quota, Usage

_FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]


def usage(
    ctx: typer.Context,
    since: Annotated[
        datetime | None, typer.Option(formats=_FORMATS, help="UTC; 30 days before --until.")
    ] = None,
    until: Annotated[datetime | None, typer.Option(formats=_FORMATS, help="UTC; now.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """What your tenant has stored and computed in a period, and what is left of its limits."""
    with connect(ctx) as client:
        found = client.usage(since=_utc(since), until=_utc(until))
    output.emit(found, as_json, lambda: _show(found))


def _show(found: "Usage") -> None:
    counts = found.counts.model_dump(exclude={"jobs"})
    jobs = {f"jobs {state}": count for state, count in sorted(found.counts.jobs.items())}
    output.details("counts", list((counts | jobs).items()))
    total = ("in all", found.stored.files, output.size(found.stored.bytes))
    rows = [(role.role, role.files, output.size(role.bytes)) for role in found.stored.by_role]
    output.table("stored", ("role", "files", "size"), [*rows, total])
    compute = found.compute
    kinds = [(kind.kind, kind.attempts, kind.seconds) for kind in compute.by_kind]
    title = f"computed from {output.moment(compute.start)} to {output.moment(compute.end)}"
    output.table(title, ("kind", "attempts", "seconds"), kinds)
    output.table(
        "limits", ("of", "used", "limit", "left"), [_limit(name, q) for name, q in found.quotas.items()]
    )


def _limit(name: str, quota: "Quota") -> tuple[output.Cell, ...]:
    return name.replace("_", " "), quota.used, quota.limit, quota.left


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)
