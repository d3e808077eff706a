"""Tenants and their limits; their keys are in `service.tenants.keys`."""

from dataclasses import dataclass
from typing import Literal

from sqlalchemy.orm import Session

from service.platform.database import settings_of
from service.platform.errors import NotFoundError, UnauthorizedError
from service.platform.scopes import Scope
from service.tenants import repository
from service.tenants.schemas import TenantView
from service.tenants.tables import Tenant

DEFAULT_TENANT = "default"
Limit = Literal["max_running", "max_queued", "max_stored_mib"]


@dataclass(frozen=True)
class Caller:
    """Who sent a request; `key_id` is None when API keys are off."""

    tenant_id: str
    key_id: str | None
    scope: Scope


def ensure_tenant(session: Session, name: str = DEFAULT_TENANT) -> str:
    """The id of the tenant with this name, made if there is none."""
    return repository.ensure_tenant(session, name)


def limit_of(session: Session, tenant_id: str, name: Limit) -> int | None:
    """The tenant's own limit, else everybody's; None = there is none."""
    everybody: int | None = getattr(settings_of(session), f"tenant_{name}")
    own: int | None = getattr(session.get_one(Tenant, tenant_id), name)
    return everybody if own is None else own


def lock(session: Session, tenant_id: str) -> None:
    """What is counted of the tenant by others who lock it too stays true until the commit."""
    repository.find_locked(session, tenant_id)


def locked_limit(session: Session, tenant_id: str, name: Limit) -> int | None:
    """`limit_of`, and the tenant locked where it has one: what is counted stays true until the commit."""
    if limit_of(session, tenant_id, name) is None:
        return None
    lock(session, tenant_id)
    return limit_of(session, tenant_id, name)


def list_tenants(session: Session) -> list[TenantView]:
    """Every tenant and its own limits, by name."""
    return [TenantView.model_validate(tenant) for tenant in repository.list_tenants(session)]


def limit_tenant(session: Session, name: str, limits: dict[str, int | None]) -> TenantView:
    """Set limits of a tenant by name; None = as everybody. Raises NotFoundError."""
    tenant_id = repository.find_tenant(session, name)
    if tenant_id is None:
        raise NotFoundError(f"There is no tenant {name!r}.")
    tenant = repository.find_locked(session, tenant_id)
    for limit, value in limits.items():
        setattr(tenant, limit, value)
    session.flush()
    return TenantView.model_validate(tenant)


def default_caller(session: Session) -> Caller:
    """The caller of a service that runs without API keys."""
    tenant_id = repository.find_tenant(session, DEFAULT_TENANT)
    if tenant_id is None:
        raise UnauthorizedError("The database has no default tenant; run `cleave db upgrade`.")
    return Caller(tenant_id=tenant_id, key_id=None, scope=Scope.ADMIN)
