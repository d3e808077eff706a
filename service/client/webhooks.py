"""Webhooks: who is told what happens to your jobs, and what became of each message."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import Field

from service.client.schemas import Page, Resource
from service.client.transport import Transport, segment


class Webhook(Resource):
    """A receiver of messages. `secret` is only in the answers to `create` and `rotate_secret`."""

    id: str
    url: str
    events: list[str]
    enabled: bool
    description: str = ""
    disabled_reason: str | None = None
    failing_since: datetime | None = None
    secret: str | None = None
    created_at: datetime | None = None


class DeliveryAttempt(Resource):
    at: datetime
    status: int | None = None
    error: str | None = None
    milliseconds: int = 0


class Delivery(Resource):
    """One message; `id` is its `webhook-id`. `state`: pending, delivered or failed."""

    id: str
    type: str
    state: str
    data: dict[str, Any] = Field(default_factory=dict)
    attempts: list[DeliveryAttempt] = Field(default_factory=list)
    next_attempt_at: datetime | None = None
    created_at: datetime | None = None


class WebhooksClient:
    """`client.webhooks`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self,
        url: str,
        *,
        events: Sequence[str] | None = None,
        description: str = "",
        idempotency_key: str | None = None,
    ) -> Webhook:
        """Register a receiver; default events: each way a job can end. Keep the answer's `secret`."""
        body: dict[str, Any] = {"url": url, "description": description}
        if events is not None:
            body["events"] = list(events)
        return self._transport.post("/v1/webhooks", Webhook, body, idempotency_key=idempotency_key)

    def list(self, *, limit: int | None = None, after: str | None = None) -> Page[Webhook]:
        return self._transport.get("/v1/webhooks", Page[Webhook], {"limit": limit, "after": after})

    def get(self, webhook_id: str) -> Webhook:
        return self._transport.get(f"/v1/webhooks/{segment(webhook_id)}", Webhook)

    def update(self, webhook_id: str, **changes: Any) -> Webhook:
        """Set `url`, `events`, `description` or `enabled`; what is not named stays."""
        path = f"/v1/webhooks/{segment(webhook_id)}"
        return Webhook.model_validate_json(self._transport.send("PATCH", path, json=changes).content)

    def delete(self, webhook_id: str) -> None:
        self._transport.send("DELETE", f"/v1/webhooks/{segment(webhook_id)}")

    def rotate_secret(self, webhook_id: str) -> Webhook:
        """A new secret; messages carry a signature of the old one too for 24 hours."""
        return self._transport.post(f"/v1/webhooks/{segment(webhook_id)}/rotate_secret", Webhook)

    def test(self, webhook_id: str) -> Delivery:
        """Send a message of type `webhook.test`."""
        return self._transport.post(f"/v1/webhooks/{segment(webhook_id)}/test", Delivery)

    def deliveries(
        self,
        webhook_id: str,
        *,
        state: str | None = None,
        limit: int | None = None,
        after: str | None = None,
    ) -> Page[Delivery]:
        """One page of messages, newest first."""
        path = f"/v1/webhooks/{segment(webhook_id)}/deliveries"
        return self._transport.get(path, Page[Delivery], {"state": state, "limit": limit, "after": after})

    def redeliver(self, webhook_id: str, delivery_id: str) -> Delivery:
        """Send a message again, under the same id."""
        path = f"/v1/webhooks/{segment(webhook_id)}/deliveries/{segment(delivery_id)}/redeliver"
        return self._transport.post(path, Delivery)
