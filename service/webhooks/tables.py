"""Where to tell what happens to jobs, and each message: to be sent, sent, or given up."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, Integer, String, true
from sqlalchemy.orm import Mapped, mapped_column

from service.platform.clock import Instant, db_now
from service.platform.database import JSON_TYPE, Base, TenantOwned, tenant_key, tenant_reference


class Webhook(TenantOwned, Base):
    """A receiver. Its secret is derived from `salt` and the service's own key, and stored nowhere.

    `previous_salt` is that of the secret before the last rotation, which signs too until `previous_until`.
    """

    __tablename__ = "webhooks"
    __table_args__ = (tenant_key("webhooks"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    url: Mapped[str] = mapped_column(String(2000))
    description: Mapped[str] = mapped_column(String(200), default="")
    events: Mapped[list[str]]
    # Else of those that name it.
    all_jobs: Mapped[bool] = mapped_column(default=True, server_default=true())
    salt: Mapped[str] = mapped_column(String(64))
    # Tells a sender whose own key is another one from the service's.
    secret_digest: Mapped[str] = mapped_column(String(64))
    previous_salt: Mapped[str | None] = mapped_column(String(64))
    previous_until: Mapped[datetime | None] = mapped_column(Instant)
    failing_since: Mapped[datetime | None] = mapped_column(Instant)
    disabled_at: Mapped[datetime | None] = mapped_column(Instant)
    disabled_reason: Mapped[str | None] = mapped_column(String(32))  # owner, gone, failing
    created_at: Mapped[datetime] = mapped_column(Instant, default=db_now())


class Delivery(TenantOwned, Base):
    """One message to one receiver, written in the transaction of what it tells; its id is `webhook-id`."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        tenant_reference("webhook_id", "webhooks", ondelete="CASCADE"),
        Index("ix_webhook_deliveries_webhook", "webhook_id", "created_at", "id"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    webhook_id: Mapped[str] = mapped_column(String(64))
    type: Mapped[str] = mapped_column(String(64))
    data: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(String(16), default="pending")  # delivered, failed
    # Attempts since it was made or last asked for again; the next comes after a pause that grows with it.
    tries: Mapped[int] = mapped_column(Integer, default=0)
    # Null: nothing is to be sent. While an attempt is under way: when it counts as lost.
    due_at: Mapped[datetime | None] = mapped_column(Instant, default=db_now(), index=True)
    attempts: Mapped[list[dict[str, Any]]] = mapped_column(JSON_TYPE, default=list)
    created_at: Mapped[datetime] = mapped_column(Instant, default=db_now())
