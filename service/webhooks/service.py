"""The rules of webhooks: who is told what, and what is done with a receiver that does not answer."""

from typing import Any

from sqlalchemy.orm import Session

from service.audit import trail
from service.jobs.idempotency import Once
from service.platform.auth import load_pepper
from service.platform.clock import db_now
from service.platform.database import settings_of
from service.platform.errors import ConflictError, NotFoundError
from service.platform.ids import new_id
from service.platform.wakeups import announce
from service.registry.etags import require_match
from service.tenants import service as tenants
from service.webhooks import repository
from service.webhooks.schemas import DISABLED, WebhookCreate, WebhookRead, WebhookSecret, WebhookUpdate
from service.webhooks.signing import digest_of, new_salt, secret_of
from service.webhooks.tables import Delivery, Webhook
from service.webhooks.targets import check_url

MAX_WEBHOOKS = 20
# Bell of the senders.
DELIVERIES = "deliveries"
_OVERLAP_MS = 24 * 3_600_000


class TooManyWebhooksError(ConflictError):
    code, title = "too_many_webhooks", "A tenant has no more webhooks than this"


class WebhookDisabledError(ConflictError):
    code, title = "webhook_disabled", "The webhook is turned off"


def tell(session: Session, tenant_id: str, job: dict[str, Any], seq: int, named: str | None) -> None:
    """Write a message to each receiver that wants to know of this state, in the caller's transaction.

    `job`: job_id, kind and state, the state of event number `seq`. `named`: the webhook that the job names.
    """
    name = f"job.{job['state']}"
    wanting = [
        webhook.id
        for webhook in repository.enabled_of(session, tenant_id)
        if name in webhook.events and (webhook.all_jobs or webhook.id == named)
    ]
    # Held: else a receiver that is removed at this moment would have the change of the job refused.
    for webhook in repository.held_of(session, wanting):
        _send(session, webhook, name, {**job, "seq": seq})


def create_once(session: Session, tenant_id: str, request: WebhookCreate, key: str | None) -> WebhookSecret:
    """Create a webhook, or answer as the first time: a lost answer must not lose the secret.

    Raises IdempotencyKeyReusedError, NotFoundError where it was deleted since, and what `create` raises.
    """
    once = Once(session, tenant_id, "/v1/webhooks", key, request.model_dump(mode="json"))
    stored = once.answer()
    if stored is not None:
        webhook = repository.find(session, stored.body["id"])
        if webhook is None:
            raise NotFoundError("The webhook of this Idempotency-Key was deleted; use a new key for another.")
        return WebhookSecret.with_secret(webhook, secret(session, webhook))
    webhook, made = create(session, tenant_id, request)
    once.store(201, {"id": webhook.id})
    return WebhookSecret.with_secret(webhook, made)


def create(session: Session, tenant_id: str, request: WebhookCreate) -> tuple[Webhook, str]:
    """A webhook and its secret. Raises WebhookUrlError, TooManyWebhooksError."""
    check_url(request.url, settings_of(session).allowed_networks)
    tenants.lock(session, tenant_id)  # of two who make the last one, the second counts the first's
    if repository.count(session, tenant_id) >= MAX_WEBHOOKS:
        raise TooManyWebhooksError(f"There are {MAX_WEBHOOKS} webhooks; delete one of them first.")
    webhook = Webhook(id=new_id("whk"), tenant_id=tenant_id, **request.model_dump())
    secret = _new_secret(session, webhook)
    session.add(webhook)
    session.flush()
    return webhook, secret


def get(session: Session, webhook_id: str) -> Webhook:
    """Raises NotFoundError, also for another tenant's webhook."""
    webhook = repository.find(session, webhook_id)
    if webhook is None:
        raise NotFoundError.of("webhook", webhook_id)
    return webhook


def change(session: Session, webhook_id: str, request: WebhookUpdate, if_match: str | None = None) -> Webhook:
    """Set what the request names. Raises NotFoundError, WebhookUrlError, PreconditionFailedError."""
    webhook = _seen(session, webhook_id, if_match)
    given = request.model_dump(exclude_none=True)
    if "url" in given:
        check_url(given["url"], settings_of(session).allowed_networks)
    enabled = given.pop("enabled", None)
    for name, value in given.items():
        setattr(webhook, name, value)
    if enabled is True:
        webhook.disabled_at = webhook.disabled_reason = webhook.failing_since = None
    elif enabled is False and webhook.disabled_at is None:
        disable(session, webhook, "owner")
    session.flush()
    return webhook


def give_up(session: Session, webhook: Webhook, reason: str) -> None:
    """Turn off what does not answer; the audit log tells of it, and whoever else asked to be told."""
    disable(session, webhook, reason)
    trail.record(session, webhook.tenant_id, "webhooks_disable", webhook.id)
    others = repository.enabled_of(session, webhook.tenant_id)
    for other in repository.held_of(session, [o.id for o in others if DISABLED in o.events]):
        _send(session, other, DISABLED, {"webhook_id": webhook.id, "reason": reason})


def disable(session: Session, webhook: Webhook, reason: str) -> None:
    """Tell this receiver nothing more, what waits included."""
    now: Any = db_now()
    webhook.disabled_at, webhook.disabled_reason = now, reason
    session.flush()
    session.refresh(webhook, ["disabled_at"])
    repository.give_up(session, webhook.id)


def remove(session: Session, webhook_id: str, if_match: str | None) -> None:
    """Raises NotFoundError, PreconditionFailedError."""
    repository.remove(session, _seen(session, webhook_id, if_match).id)


def rotate_secret(session: Session, webhook_id: str) -> tuple[Webhook, str]:
    """A new secret; the one before signs too for a day. Raises NotFoundError."""
    webhook = _seen(session, webhook_id, None)  # of two rotations the second keeps the first's secret
    until: Any = db_now() + _OVERLAP_MS
    webhook.previous_salt, webhook.previous_until = webhook.salt, until
    secret = _new_secret(session, webhook)
    session.flush()
    return webhook, secret


def secret(session: Session, webhook: Webhook) -> str:
    return secret_of(load_pepper(settings_of(session)), webhook.id, webhook.salt)


def test(session: Session, webhook_id: str) -> Delivery:
    """A message that tells nothing. Raises NotFoundError, WebhookDisabledError."""
    webhook = _enabled(session, webhook_id)
    return _send(session, webhook, "webhook.test", {"webhook_id": webhook.id})


def redeliver(session: Session, webhook_id: str, delivery_id: str) -> Delivery:
    """Send a message again, now, whatever became of it. Raises NotFoundError, WebhookDisabledError."""
    webhook = _enabled(session, webhook_id)
    delivery = repository.find_delivery(session, webhook.id, delivery_id)
    if delivery is None:
        raise NotFoundError.of("delivery", delivery_id)
    now: Any = db_now()
    delivery.state, delivery.tries, delivery.due_at = "pending", 0, now
    session.flush()
    session.refresh(delivery)
    announce(session.connection(), DELIVERIES)
    return delivery


def _seen(session: Session, webhook_id: str, if_match: str | None) -> Webhook:
    """The webhook as the caller has seen it, unchanged by others until the commit."""
    webhook = repository.find_locked(session, webhook_id)
    if webhook is None:
        raise NotFoundError.of("webhook", webhook_id)
    require_match(if_match, WebhookRead.of(webhook))
    return webhook


def _enabled(session: Session, webhook_id: str) -> Webhook:
    webhook = _seen(session, webhook_id, None)
    if webhook.disabled_at is not None:
        raise WebhookDisabledError('Turn it on first: PATCH with {"enabled": true}.')
    return webhook


def _send(session: Session, webhook: Webhook, name: str, data: dict[str, Any]) -> Delivery:
    delivery = Delivery(
        id=new_id("dlv"), tenant_id=webhook.tenant_id, webhook_id=webhook.id, type=name, data=data
    )
    session.add(delivery)
    session.flush()
    announce(session.connection(), DELIVERIES)
    return delivery


def _new_secret(session: Session, webhook: Webhook) -> str:
    webhook.salt = new_salt()
    made = secret(session, webhook)
    webhook.secret_digest = digest_of(made)
    return made
