"""Webhooks and their messages, as the service tells them."""

from datetime import datetime
from typing import Any

from pydantic import Field

from service.client.schemas import Resource


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
