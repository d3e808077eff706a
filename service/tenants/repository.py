"""Every query about tenants and keys."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from service.platform.clock import db_now
from service.platform.database import insert_if_absent
from service.platform.ids import new_id
from service.platform.pagination import Page, PageRequest, fetch_page
from service.tenants.tables import ApiKey, Tenant

USE_NOTED_MS = 60_000


def ensure_tenant(session: Session, name: str) -> str:
    """The id of the tenant with this name, made if there is none; safe when two processes start at once."""
    insert_if_absent(session, Tenant, {"id": new_id("ten"), "name": name}, key=["name"])
    return session.scalars(select(Tenant.id).where(Tenant.name == name)).one()


def find_tenant(session: Session, name: str) -> str | None:
    return session.scalar(select(Tenant.id).where(Tenant.name == name))


def list_tenants(session: Session) -> list[Tenant]:
    return list(session.scalars(select(Tenant).order_by(Tenant.name)))


def find_locked(session: Session, tenant_id: str) -> Tenant:
    """The tenant's row, changed by nobody else until this transaction ends."""
    # Not FOR UPDATE: whoever has written a row that refers to the tenant would wait for whoever has too.
    row = select(Tenant).where(Tenant.id == tenant_id).with_for_update(key_share=True)
    return session.scalars(row, execution_options={"populate_existing": True}).one()


def find_live_key(session: Session, key_id: str) -> ApiKey | None:
    """The key, unless it is revoked or expired."""
    live = or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > db_now())
    return session.scalar(select(ApiKey).where(ApiKey.id == key_id, ApiKey.revoked_at.is_(None), live))


def previous_digest(session: Session, key_id: str) -> str | None:
    """The digest of the secret before the last rotation, while it is good."""
    live = ApiKey.previous_until > db_now()
    return session.scalar(select(ApiKey.previous_digest).where(ApiKey.id == key_id, live))


def note_use(session: Session, key_id: str) -> None:
    """Write when the key was used, at most once a minute."""
    old = or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at <= db_now() - USE_NOTED_MS)
    noted = update(ApiKey).where(ApiKey.id == key_id, old).values(last_used_at=db_now())
    session.execute(noted, execution_options={"synchronize_session": False})


def page_of_keys(session: Session, page: PageRequest) -> Page[ApiKey]:
    return fetch_page(session, select(ApiKey), [ApiKey.created_at, ApiKey.id], page)


def find_key(session: Session, key_id: str) -> ApiKey | None:
    return session.scalar(select(ApiKey).where(ApiKey.id == key_id))


def find_key_locked(session: Session, key_id: str) -> ApiKey | None:
    """The key as it is now, changed by nobody else until this transaction ends."""
    row = select(ApiKey).where(ApiKey.id == key_id).with_for_update(key_share=True)
    return session.scalar(row, execution_options={"populate_existing": True})


def is_over(session: Session, key_id: str) -> bool:
    """Whether the key's time is over, by the database's clock."""
    return (
        session.scalar(select(ApiKey.id).where(ApiKey.id == key_id, ApiKey.expires_at <= db_now()))
        is not None
    )


def list_keys(session: Session, tenant: str | None) -> Sequence[ApiKey]:
    """The keys of one tenant, or of all; newest first."""
    rows = select(ApiKey).join(Tenant, Tenant.id == ApiKey.tenant_id)
    if tenant is not None:
        rows = rows.where(Tenant.name == tenant)
    return session.scalars(rows.order_by(ApiKey.created_at.desc(), ApiKey.id.desc())).all()


def revoke(session: Session, key_id: str) -> None:
    """End the key; one that is revoked already keeps its time."""
    ended: Any = func.coalesce(ApiKey.revoked_at, db_now())
    statement = update(ApiKey).where(ApiKey.id == key_id).values(revoked_at=ended)
    session.execute(statement, execution_options={"synchronize_session": False})


def has_key(session: Session, tenant_id: str) -> bool:
    return session.scalar(select(ApiKey.id).where(ApiKey.tenant_id == tenant_id).limit(1)) is not None
