"""One attempt at one message: what is sent, how it ended, and what follows from that."""

import json
import logging
import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, case
from sqlalchemy.orm import Session

from service.platform.clock import db_now
from service.platform.settings import Settings
from service.webhooks import repository
from service.webhooks.service import give_up
from service.webhooks.signing import digest_of, headers_of, secret_of
from service.webhooks.tables import Delivery, Webhook

_LOG = logging.getLogger(__name__)
# Pauses after the first, second, ... attempt, as Standard Webhooks proposes.
RETRIES_S = (5, 300, 1800, 7200, 18_000, 36_000, 50_400)
_SPREAD = 0.1
_FAILING_S = 5 * 86_400
_ATTEMPTS_SHOWN = 20
_GONE = 410
# Answers whose Retry-After is heeded where it is longer than the pause, up to this: `clock_set_back` takes
# messages that are due ten minutes later than their pause says for what a clock has left.
_BUSY = (429, 503)
_LONGEST_ASKED_S = 300.0


@dataclass(frozen=True)
class Message:
    """What one attempt sends. `refusal`: why it cannot be sent from here at all."""

    delivery_id: str
    webhook_id: str
    url: str
    headers: dict[str, str]
    body: bytes
    refusal: str | None = None


@dataclass(frozen=True)
class Attempt:
    """How it ended. `status` is None where there was no answer; `retry_after` is the header's text."""

    status: int | None
    error: str | None
    milliseconds: int
    retry_after: str | None = None

    @property
    def arrived(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def asked_s(self) -> float:
        """Seconds that the receiver wants to be left alone for."""
        asked = self.retry_after or ""
        if self.status not in _BUSY or not (asked.isascii() and asked.isdigit()):
            return 0.0
        return min(float(asked), _LONGEST_ASKED_S)


def hold_ms(settings: Settings) -> int:
    """How long an attempt may be under way before it counts as lost."""
    return round(1500 * settings.webhook_timeout_s)


def longest_wait_ms(settings: Settings) -> ColumnElement[int]:
    """How far ahead a message may be due at most, by the attempts that it has had."""
    hold = hold_ms(settings)
    pauses = {n: max(hold, round(1000 * (1 + _SPREAD) * pause_s)) for n, pause_s in enumerate(RETRIES_S, 1)}
    return case({0: 0, **pauses}, value=Delivery.tries, else_=hold)


def message_of(session: Session, delivery: Delivery, pepper: bytes) -> Message:
    """The message, signed now with each secret that is valid now."""
    webhook = session.get_one(Webhook, delivery.webhook_id)
    salts = [webhook.salt]
    if webhook.previous_salt and webhook.previous_until and webhook.previous_until > datetime.now(UTC):
        salts.append(webhook.previous_salt)
    secrets = [secret_of(pepper, webhook.id, salt) for salt in salts]
    stamp = delivery.created_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    content = {"type": delivery.type, "timestamp": stamp, "data": delivery.data}
    body = json.dumps(content, separators=(",", ":")).encode()
    ours = digest_of(secrets[0]) == webhook.secret_digest
    return Message(
        delivery_id=delivery.id,
        webhook_id=webhook.id,
        url=webhook.url,
        headers=headers_of(secrets, delivery.id, int(time.time()), body),
        body=body,
        refusal=None if ours else "the dispatcher's CLEAVE_SECRET_KEY is not the API's",
    )


def settle(session: Session, message: Message, attempt: Attempt) -> None:
    """Record the attempt, and decide about its message and its receiver."""
    # The webhook first: whoever turns it off or removes it goes on to its messages, too.
    webhook = repository.find_locked(session, message.webhook_id)
    delivery = session.get(Delivery, message.delivery_id, with_for_update={"key_share": True})
    if webhook is None or delivery is None:
        return  # removed meanwhile
    told = {
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "status": attempt.status,
        "error": attempt.error,
        "milliseconds": attempt.milliseconds,
    }
    delivery.attempts = [*delivery.attempts, told][-_ATTEMPTS_SHOWN:]
    if attempt.arrived:
        delivery.state, delivery.due_at, webhook.failing_since = "delivered", None, None
    elif webhook.disabled_at is None:
        _settle_failed(session, webhook, delivery, attempt)
    session.flush()


def _settle_failed(session: Session, webhook: Webhook, delivery: Delivery, attempt: Attempt) -> None:
    now: Any = db_now()
    since = webhook.failing_since
    if since is None:
        webhook.failing_since = now
    if delivery.tries > len(RETRIES_S):
        delivery.state, delivery.due_at = "failed", None
    else:
        pause_s = RETRIES_S[delivery.tries - 1] * random.uniform(1 - _SPREAD, 1 + _SPREAD)
        due: Any = db_now() + round(1000 * max(pause_s, attempt.asked_s))
        delivery.due_at = due
    gone = attempt.status == _GONE
    if gone or (since is not None and (datetime.now(UTC) - since).total_seconds() > _FAILING_S):
        session.flush()
        give_up(session, webhook, "gone" if gone else "failing")
        _LOG.warning("webhook %s is turned off: %s", webhook.id, webhook.disabled_reason)
