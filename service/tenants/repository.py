"""Every query about tenants and keys."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, func, or_, select, update
from sqlalchemy.orm import Session

from service.platform.clock import db_now
from service.platform.database import insert_if_absent
from service.platform.ids import new_id
from service.tenants.tables import ApiKey, Tenant


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


def list_keys(session: Session, tenant: str | None) -> Sequence[Row[ApiKey, str, bool]]:
    """Each key, its tenant's name, and whether its time is over; newest first."""
    over = func.coalesce(ApiKey.expires_at <= db_now(), False)
    rows = select(ApiKey, Tenant.name, over).join(Tenant, Tenant.id == ApiKey.tenant_id)
    if tenant is not None:
        rows = rows.where(Tenant.name == tenant)
    return session.execute(rows.order_by(ApiKey.created_at.desc(), ApiKey.id.desc())).all()


def revoke(session: Session, key_id: str) -> bool:
    """False when there is no such key; one that is revoked already keeps its time."""
    ended: Any = func.coalesce(ApiKey.revoked_at, db_now())
    statement = update(ApiKey).where(ApiKey.id == key_id).values(revoked_at=ended).returning(ApiKey.id)
    return session.scalar(statement, execution_options={"synchronize_session": False}) is not None


def has_key(session: Session, tenant_id: str) -> bool:
    return session.scalar(select(ApiKey.id).where(ApiKey.tenant_id == tenant_id).limit(1)) is not None
