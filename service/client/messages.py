"""What is told about jobs: log lines, tickets for streams, webhooks and their messages."""

from datetime import datetime
from typing import Any

from pydantic import Field

from service.client.schemas import Resource


class LogLine(Resource):
    """One line that a job wrote; `seq` is the number of its event."""

    seq: int
    level: str
    message: str
    ts: datetime | None = None


class StreamTicket(Resource):
    """Opens one event stream, once, within a minute; `url` begins at the service's address."""

    ticket: str
    url: str
    expires_at: datetime | None = None


class Webhook(Resource):
    """A receiver of messages. `secret` is only in the answers to `create` and `rotate_secret`."""

    id: str
    url: str
    events: list[str]
    enabled: bool
    description: str = ""
    all_jobs: bool = True
    disabled_at: datetime | None = None
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
