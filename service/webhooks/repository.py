"""Every query about webhooks and their messages."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from service.platform.clock import db_now
from service.platform.database import Database
from service.platform.holding import changing, held
from service.platform.pagination import Page, PageRequest, fetch_page
from service.platform.thinning import delete_gradually
from service.webhooks.tables import Delivery, Webhook

_KEPT_MS = 30 * 86_400_000


def find(session: Session, webhook_id: str) -> Webhook | None:
    return session.scalars(select(Webhook).where(Webhook.id == webhook_id)).one_or_none()


def find_locked(session: Session, webhook_id: str) -> Webhook | None:
    """The webhook as it is now, changed by nobody else until this transaction ends."""
    found: Webhook | None = session.scalar(changing(select(Webhook).where(Webhook.id == webhook_id)))
    return found


def count(session: Session, tenant_id: str) -> int:
    rows = select(func.count()).select_from(Webhook).where(Webhook.tenant_id == tenant_id)
    return session.scalar(rows) or 0


def page_of_webhooks(session: Session, page: PageRequest) -> Page[Webhook]:
    """Newest first."""
    return fetch_page(session, select(Webhook), (Webhook.created_at, Webhook.id), page)


def enabled_of(session: Session, tenant_id: str) -> list[Webhook]:
    rows = select(Webhook).where(Webhook.tenant_id == tenant_id, Webhook.disabled_at.is_(None))
    return list(session.scalars(rows))


def held_of(session: Session, webhook_ids: Collection[str]) -> list[Webhook]:
    """Those that are there and enabled still; nobody removes them before this transaction ends."""
    rows = select(Webhook).where(Webhook.id.in_(webhook_ids), Webhook.disabled_at.is_(None))
    return list(session.scalars(held(rows))) if webhook_ids else []


def find_delivery(session: Session, webhook_id: str, delivery_id: str) -> Delivery | None:
    row = select(Delivery).where(Delivery.id == delivery_id, Delivery.webhook_id == webhook_id)
    return session.scalars(row).one_or_none()


def page_of_deliveries(
    session: Session, webhook_id: str, state: str | None, page: PageRequest
) -> Page[Delivery]:
    """Newest first."""
    rows = select(Delivery).where(Delivery.webhook_id == webhook_id)
    if state is not None:
        rows = rows.where(Delivery.state == state)
    return fetch_page(session, rows, (Delivery.created_at, Delivery.id), page)


def due(session: Session, busy: Collection[str], limit: int) -> list[tuple[str, str]]:
    """(message, webhook) of what is to be sent now, the longest waiting first."""
    rows = select(Delivery.id, Delivery.webhook_id).where(
        Delivery.due_at <= db_now(), Delivery.webhook_id.not_in(busy)
    )
    return [(row[0], row[1]) for row in session.execute(rows.order_by(Delivery.due_at).limit(limit))]


def claim(session: Session, delivery_id: str, hold_ms: int) -> Delivery | None:
    """Take a message for one attempt, or None: another sender was faster. After `hold_ms` it is due again."""
    until: Any = db_now() + hold_ms
    statement = update(Delivery).where(Delivery.id == delivery_id, Delivery.due_at <= db_now())
    return session.scalar(
        statement.values(due_at=until, tries=Delivery.tries + 1).returning(Delivery),
        execution_options={"synchronize_session": False, "populate_existing": True},
    )


def give_up(session: Session, webhook_id: str) -> None:
    """Send no more of what waits for this receiver."""
    session.execute(
        update(Delivery)
        .where(Delivery.webhook_id == webhook_id, Delivery.due_at.is_not(None))
        .values(state="failed", due_at=None)
        .execution_options(synchronize_session="fetch")
    )


def remove(session: Session, webhook_id: str) -> None:
    """Its messages go with it."""
    statement = delete(Webhook).where(Webhook.id == webhook_id)
    session.execute(statement, execution_options={"synchronize_session": False})


def forget(database: Database) -> None:
    """Drop messages that were made 30 days ago and are settled."""
    old = (Delivery.due_at.is_(None), Delivery.created_at < db_now() - _KEPT_MS)
    delete_gradually(database, Delivery, *old)
