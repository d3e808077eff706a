"""/v1/webhooks: be told by HTTP what happens to your jobs."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from service.jobs.idempotency import IdempotencyKey
from service.platform.dependencies import CallerDep, Reader, Writer
from service.platform.openapi import problems
from service.platform.pagination import ListOf, PageDep
from service.registry.etags import IfMatch, tagged
from service.webhooks import repository, service
from service.webhooks.schemas import (
    DeliveryId,
    DeliveryRead,
    WebhookCreate,
    WebhookId,
    WebhookRead,
    WebhookSecret,
    WebhookUpdate,
)

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])


@router.post("", operation_id="webhooks_create", status_code=201, responses=problems(404, 409))
def create(
    request: WebhookCreate,
    session: Writer,
    caller: CallerDep,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> WebhookSecret:
    """Register a receiver. The answer has the secret that verifies its messages, this once."""
    created = service.create_once(session, caller.tenant_id, request, idempotency_key)
    response.headers["Location"] = f"/v1/webhooks/{created.id}"
    return created


@router.get("", operation_id="webhooks_list")
def list_webhooks(session: Reader, page: PageDep) -> ListOf[WebhookRead]:
    """Your webhooks, newest first."""
    found = repository.page_of_webhooks(session, page)
    return ListOf[WebhookRead].of([WebhookRead.of(w) for w in found.rows], found.next_cursor)


@router.get("/{webhook_id}", operation_id="webhooks_get")
def get(webhook_id: WebhookId, session: Reader, response: Response) -> WebhookRead:
    """One webhook, without its secret. Its ETag is what a change can be based on."""
    return tagged(WebhookRead.of(service.get(session, webhook_id)), response)


@router.patch("/{webhook_id}", operation_id="webhooks_update", responses=problems(412))
def update(
    webhook_id: WebhookId,
    request: WebhookUpdate,
    session: Writer,
    response: Response,
    if_match: IfMatch = None,
) -> WebhookRead:
    """Change the URL, the events or the description; turn it off or on. What is not named stays."""
    return tagged(WebhookRead.of(service.change(session, webhook_id, request, if_match)), response)


@router.delete("/{webhook_id}", operation_id="webhooks_delete", status_code=204, responses=problems(412))
def delete(webhook_id: WebhookId, session: Writer, if_match: IfMatch = None) -> None:
    """Remove a webhook and its deliveries."""
    service.remove(session, webhook_id, if_match)


@router.post("/{webhook_id}/rotate_secret", operation_id="webhooks_rotate_secret")
def rotate_secret(webhook_id: WebhookId, session: Writer) -> WebhookSecret:
    """A new secret. For 24 hours messages carry a signature of the old one too."""
    return WebhookSecret.with_secret(*service.rotate_secret(session, webhook_id))


@router.post("/{webhook_id}/test", operation_id="webhooks_test", status_code=202, responses=problems(409))
def test(webhook_id: WebhookId, session: Writer) -> DeliveryRead:
    """Send a message of type `webhook.test`; its delivery tells what the receiver answered."""
    return DeliveryRead.of(service.test(session, webhook_id))


@router.get("/{webhook_id}/deliveries", operation_id="webhooks_deliveries")
def deliveries(
    webhook_id: WebhookId,
    session: Reader,
    page: PageDep,
    state: Annotated[Literal["pending", "delivered", "failed"] | None, Query()] = None,
) -> ListOf[DeliveryRead]:
    """The messages of the last 30 days and what became of them, newest first."""
    service.get(session, webhook_id)
    found = repository.page_of_deliveries(session, webhook_id, state, page)
    return ListOf[DeliveryRead].of([DeliveryRead.of(d) for d in found.rows], found.next_cursor)


@router.post(
    "/{webhook_id}/deliveries/{delivery_id}/redeliver",
    operation_id="webhooks_redeliver",
    status_code=202,
    responses=problems(409),
)
def redeliver(webhook_id: WebhookId, delivery_id: DeliveryId, session: Writer) -> DeliveryRead:
    """Send a message again, under the same `webhook-id`."""
    return DeliveryRead.of(service.redeliver(session, webhook_id, delivery_id))
