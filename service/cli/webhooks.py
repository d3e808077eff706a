"""cleave webhooks ...: who is told what happens to your jobs."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli import output
from service.cli.session import AfterOption, JsonFlag, LimitOption, connect

if TYPE_CHECKING:
    from service.client.messages import Delivery, Webhook

app = typer.Typer(help="Messages to your own server about what happens to jobs.", no_args_is_help=True)
WebhookArgument = Annotated[str, typer.Argument(metavar="WEBHOOK_ID")]
EventOption = Annotated[
    list[str] | None, typer.Option("--event", help="E.g. job.succeeded; repeat. Default: each ending.")
]


@app.command("create")
def create(
    ctx: typer.Context,
    url: Annotated[str, typer.Argument(help="https; where messages are POSTed.")],
    events: EventOption = None,
    description: Annotated[str, typer.Option()] = "",
    all_jobs: Annotated[
        bool, typer.Option("--all-jobs/--named-jobs", help="--named-jobs: those with its id as webhook_id.")
    ] = True,
    as_json: JsonFlag = False,
) -> None:
    """Register a receiver; shows the secret that verifies its messages, this once."""
    with connect(ctx) as client:
        made = client.webhooks.create(url, events=events or None, description=description, all_jobs=all_jobs)
    output.emit(made, as_json, lambda: _show(made))


@app.command("list")
def list_all(
    ctx: typer.Context, limit: LimitOption = None, after: AfterOption = None, as_json: JsonFlag = False
) -> None:
    """Your webhooks, newest first."""
    with connect(ctx) as client:
        page = client.webhooks.list(limit=limit, after=after)
    rows = [(w.id, w.url, _state(w), ", ".join(w.events)) for w in page.data]
    output.emit(page, as_json, lambda: output.table("webhooks", ("id", "url", "state", "events"), rows))


@app.command("show")
def show(ctx: typer.Context, webhook_id: WebhookArgument, as_json: JsonFlag = False) -> None:
    """One webhook."""
    with connect(ctx) as client:
        found = client.webhooks.get(webhook_id)
    output.emit(found, as_json, lambda: _show(found))


@app.command("update")
def update(
    ctx: typer.Context,
    webhook_id: WebhookArgument,
    url: Annotated[str | None, typer.Option()] = None,
    events: EventOption = None,
    enabled: Annotated[bool | None, typer.Option("--enable/--disable")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Change the URL or the events; turn it off, or on again."""
    given: dict[str, Any] = {"url": url, "events": events or None, "enabled": enabled}
    with connect(ctx) as client:
        changes = {name: value for name, value in given.items() if value is not None}
        found = client.webhooks.update(webhook_id, **changes)
    output.emit(found, as_json, lambda: _show(found))


@app.command("delete")
def delete(ctx: typer.Context, webhook_id: WebhookArgument) -> None:
    """Remove a webhook and its deliveries."""
    with connect(ctx) as client:
        client.webhooks.delete(webhook_id)


@app.command("rotate-secret")
def rotate_secret(ctx: typer.Context, webhook_id: WebhookArgument, as_json: JsonFlag = False) -> None:
    """A new secret, shown this once; the old one is valid for 24 hours more."""
    with connect(ctx) as client:
        made = client.webhooks.rotate_secret(webhook_id)
    output.emit(made, as_json, lambda: _show(made))


@app.command("test")
def send_test(ctx: typer.Context, webhook_id: WebhookArgument, as_json: JsonFlag = False) -> None:
    """Send a message that tells nothing; `deliveries` shows what the receiver answered."""
    with connect(ctx) as client:
        sent = client.webhooks.test(webhook_id)
    output.emit(sent, as_json, lambda: output.say(f"{sent.id} {sent.state}"))


@app.command("deliveries")
def deliveries(
    ctx: typer.Context,
    webhook_id: WebhookArgument,
    state: Annotated[str | None, typer.Option(help="pending, delivered or failed.")] = None,
    limit: LimitOption = None,
    after: AfterOption = None,
    as_json: JsonFlag = False,
) -> None:
    """The messages of the last 30 days, newest first."""
    with connect(ctx) as client:
        page = client.webhooks.deliveries(webhook_id, state=state, limit=limit, after=after)
    rows = [_row(delivery) for delivery in page.data]
    columns = ("id", "type", "job", "state", "attempts", "last answer", "next attempt")
    output.emit(page, as_json, lambda: output.table("deliveries", columns, rows))


@app.command("redeliver")
def redeliver(
    ctx: typer.Context,
    webhook_id: WebhookArgument,
    delivery_id: Annotated[str, typer.Argument(metavar="DELIVERY_ID")],
    as_json: JsonFlag = False,
) -> None:
    """Send a message again, under the same id."""
    with connect(ctx) as client:
        sent = client.webhooks.redeliver(webhook_id, delivery_id)
    output.emit(sent, as_json, lambda: output.say(f"{sent.id} {sent.state}"))


def _row(delivery: "Delivery") -> tuple[output.Cell, ...]:
    last = delivery.attempts[-1] if delivery.attempts else None
    answer = None if last is None else str(last.status or last.error)
    job = delivery.data.get("job_id")
    return (
        delivery.id, delivery.type, job, delivery.state, len(delivery.attempts), answer,
        output.moment(delivery.next_attempt_at),
    )  # fmt: skip


def _state(webhook: "Webhook") -> str:
    if not webhook.enabled:
        return f"off ({webhook.disabled_reason})"
    return "on" if webhook.failing_since is None else "on, failing"


def _show(webhook: "Webhook") -> None:
    pairs: list[tuple[str, output.Cell]] = [
        ("url", webhook.url),
        ("events", ", ".join(webhook.events)),
        ("jobs", "all" if webhook.all_jobs else "those that name it"),
        ("state", _state(webhook)),
    ]
    if webhook.secret is not None:
        pairs.append(("secret (shown once)", webhook.secret))
    output.details(webhook.id, pairs)
