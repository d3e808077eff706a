"""Webhooks as callers see them."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from core.texts import LINES
from service.webhooks.tables import Delivery, Webhook

EventName = Literal[
    "job.pending", "job.validating", "job.queued", "job.running", "job.interrupted", "job.cancelling",
    "job.succeeded", "job.failed", "job.cancelled", "job.expired", "webhook.disabled",
]  # fmt: skip
DISABLED: EventName = "webhook.disabled"
ENDINGS: tuple[EventName, ...] = ("job.succeeded", "job.failed", "job.cancelled", "job.expired")

WebhookId = Annotated[str, Path(pattern=r"^whk_[0-9a-z]+$", max_length=64)]
DeliveryId = Annotated[str, Path(pattern=r"^dlv_[0-9a-z]+$", max_length=64)]
Url = Annotated[str, Field(max_length=2000, description="https; where messages are POSTed.")]
Events = Annotated[list[EventName], Field(min_length=1, max_length=11)]
_ALL_JOBS = "Hear of every job; if false, of those that name it as their `webhook_id`."
Description = Annotated[str, Field(max_length=200, pattern=LINES)]

_ID = "whk_019b3c5e6f117c5a9d3e4b2a1c0f8e7d"
_WEBHOOK: dict[str, Any] = {
    "id": _ID,
    "url": "https://example.com/cleave",
    "description": "tells the deployment",
    "events": list(ENDINGS),
    "all_jobs": True,
    "enabled": True,
    "disabled_at": None,
    "disabled_reason": None,
    "failing_since": None,
    "created_at": "2026-01-15T10:03:01.000Z",
}
_DELIVERY: dict[str, Any] = {
    "id": "dlv_019b3c5e6f117c5a9d3e4b2a1c0f8e7e",
    "type": "job.succeeded",
    "state": "delivered",
    "data": {
        "job_id": "job_019b3c5e6f117c5a9d3e4b2a1c0f8e7d",
        "kind": "train",
        "state": "succeeded",
        "seq": 9,
    },
    "attempts": [{"at": "2026-01-15T10:03:02.000Z", "status": 204, "error": None, "milliseconds": 41}],
    "next_attempt_at": None,
    "created_at": "2026-01-15T10:03:01.000Z",
}


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class WebhookCreate(_Request):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"url": "https://example.com/cleave", "events": ["job.succeeded"]}]}
    )

    url: Url
    events: Events = Field(
        list(ENDINGS),
        description="Which changes of a job's state to tell; and that another webhook was turned off.",
    )
    description: Description = ""
    all_jobs: bool = Field(True, strict=True, description=_ALL_JOBS)


class WebhookUpdate(_Request):
    model_config = ConfigDict(json_schema_extra={"examples": [{"enabled": True}]})

    url: Url | None = None
    events: Events | None = None
    description: Description | None = None
    all_jobs: bool | None = Field(None, strict=True, description=_ALL_JOBS)
    enabled: bool | None = Field(
        None, strict=True, description="Turn it off, or on again after it was turned off."
    )


class WebhookRead(BaseModel):
    """A receiver of messages about your jobs."""

    model_config = ConfigDict(json_schema_extra={"examples": [_WEBHOOK]})

    id: str
    url: str
    description: str
    events: list[EventName]
    all_jobs: bool
    enabled: bool
    disabled_at: datetime | None
    disabled_reason: str | None = Field(
        description="owner, gone (it answered 410) or failing (it failed for days)."
    )
    failing_since: datetime | None = Field(description="Nothing has got through since then.")
    created_at: datetime

    @classmethod
    def of(cls, webhook: Webhook) -> "WebhookRead":
        return cls(**_content(webhook))


class WebhookSecret(WebhookRead):
    """A webhook with its secret, which no other answer tells."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{**_WEBHOOK, "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="}]
        }
    )

    secret: str = Field(description="Verifies the signatures (Standard Webhooks). Keep it; it is shown once.")

    @classmethod
    def with_secret(cls, webhook: Webhook, secret: str) -> "WebhookSecret":
        return cls(**_content(webhook), secret=secret)


class DeliveryAttempt(BaseModel):
    at: datetime
    status: int | None = Field(description="What the receiver answered; null = no answer.")
    error: str | None
    milliseconds: int


class DeliveryRead(BaseModel):
    """One message to one receiver; `id` is its `webhook-id`, the same at every attempt."""

    model_config = ConfigDict(json_schema_extra={"examples": [_DELIVERY]})

    id: str
    type: str
    state: Literal["pending", "delivered", "failed"]
    data: dict[str, Any]
    attempts: list[DeliveryAttempt] = Field(description="The last 20, oldest first.")
    next_attempt_at: datetime | None
    created_at: datetime

    @classmethod
    def of(cls, delivery: Delivery) -> "DeliveryRead":
        columns = {name: getattr(delivery, name) for name in ("id", "type", "state", "data", "created_at")}
        attempts = [DeliveryAttempt.model_validate(attempt) for attempt in delivery.attempts]
        return cls(**columns, attempts=attempts, next_attempt_at=delivery.due_at)


def _content(webhook: Webhook) -> dict[str, Any]:
    names = set(WebhookRead.model_fields) - {"enabled"}
    return {name: getattr(webhook, name) for name in names} | {"enabled": webhook.disabled_at is None}
