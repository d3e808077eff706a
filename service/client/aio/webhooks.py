"""Webhooks: who is told what happens to your jobs, and what became of each message."""

import uuid
from collections.abc import Sequence
from typing import Any

from service.client.aio.transport import AsyncTransport, segment
from service.client.messages import Delivery, Webhook
from service.client.pages import Page


class AsyncWebhooksClient:
    """`client.webhooks`."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def create(
        self,
        url: str,
        *,
        events: Sequence[str] | None = None,
        description: str = "",
        all_jobs: bool = True,
        idempotency_key: str | None = None,
    ) -> Webhook:
        """Register a receiver; default events: each way a job can end. Keep the answer's `secret`.

        `all_jobs=False`: it hears of those jobs only whose spec has its id as `webhook_id`.
        """
        body: dict[str, Any] = {"url": url, "description": description, "all_jobs": all_jobs}
        if events is not None:
            body["events"] = list(events)
        key = idempotency_key or uuid.uuid4().hex  # a lost answer would lose the secret
        return await self._transport.post("/v1/webhooks", Webhook, body, idempotency_key=key)

    async def list(self, *, limit: int | None = None, after: str | None = None) -> Page[Webhook]:
        return await self._transport.get("/v1/webhooks", Page[Webhook], {"limit": limit, "after": after})

    async def get(self, webhook_id: str) -> Webhook:
        return await self._transport.get(f"/v1/webhooks/{segment(webhook_id)}", Webhook)

    async def update(self, webhook_id: str, *, if_match: str | None = None, **changes: Any) -> Webhook:
        """Set `url`, `events`, `description`, `all_jobs` or `enabled`; what is not named stays.

        `if_match`: an ETag; raises CleaveApiError (412) if the webhook is another by now.
        """
        return await self._transport.patch(f"/v1/webhooks/{segment(webhook_id)}", Webhook, changes, if_match)

    async def delete(self, webhook_id: str) -> None:
        await self._transport.send("DELETE", f"/v1/webhooks/{segment(webhook_id)}")

    async def rotate_secret(self, webhook_id: str) -> Webhook:
        """A new secret; messages carry a signature of the old one too for 24 hours."""
        return await self._transport.post(f"/v1/webhooks/{segment(webhook_id)}/rotate_secret", Webhook)

    async def test(self, webhook_id: str) -> Delivery:
        """Send a message of type `webhook.test`."""
        return await self._transport.post(f"/v1/webhooks/{segment(webhook_id)}/test", Delivery)

    async def deliveries(
        self,
        webhook_id: str,
        *,
        state: str | None = None,
        limit: int | None = None,
        after: str | None = None,
    ) -> Page[Delivery]:
        """One page of messages, newest first."""
        path = f"/v1/webhooks/{segment(webhook_id)}/deliveries"
        return await self._transport.get(
            path, Page[Delivery], {"state": state, "limit": limit, "after": after}
        )

    async def redeliver(self, webhook_id: str, delivery_id: str) -> Delivery:
        """Send a message again, under the same id."""
        path = f"/v1/webhooks/{segment(webhook_id)}/deliveries/{segment(delivery_id)}/redeliver"
        return await self._transport.post(path, Delivery)
