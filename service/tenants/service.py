"""Who may call: tenants and their API keys."""

from dataclasses import dataclass
from typing import Literal

from sqlalchemy.orm import Session

from service.platform.auth import (
    digest_secret,
    format_key,
    load_pepper,
    new_secret,
    parse_key,
    secret_matches,
)
from service.platform.database import settings_of
from service.platform.errors import NotFoundError, UnauthorizedError
from service.platform.ids import new_id
from service.platform.settings import Settings
from service.tenants import repository
from service.tenants.schemas import KeyView, TenantView
from service.tenants.tables import ApiKey, Tenant

DEFAULT_TENANT = "default"


@dataclass(frozen=True)
class Caller:
    """Who sent a request; `key_id` is None when API keys are off."""

    tenant_id: str
    key_id: str | None


def ensure_tenant(session: Session, name: str = DEFAULT_TENANT) -> str:
    """The id of the tenant with this name, made if there is none."""
    return repository.ensure_tenant(session, name)


def job_limit(session: Session, tenant_id: str, name: Literal["max_running", "max_queued"]) -> int | None:
    """How many jobs of the tenant may run, or wait; None = any number.

    Where there is a limit, the tenant is locked until the transaction ends: what is counted stays true.
    """
    everybody: int | None = getattr(settings_of(session), f"tenant_{name}")
    own: int | None = getattr(session.get_one(Tenant, tenant_id), name)
    if own is None and everybody is None:
        return None
    own = getattr(repository.find_locked(session, tenant_id), name)
    return everybody if own is None else own


def list_tenants(session: Session) -> list[TenantView]:
    """Every tenant and its own limits, by name."""
    return [TenantView.model_validate(tenant) for tenant in repository.list_tenants(session)]


def limit_tenant(session: Session, name: str, limits: dict[str, int | None]) -> TenantView:
    """Set `max_running` or `max_queued` of a tenant; None = as everybody. Raises NotFoundError."""
    tenant_id = repository.find_tenant(session, name)
    if tenant_id is None:
        raise NotFoundError(f"There is no tenant {name!r}.")
    tenant = repository.find_locked(session, tenant_id)
    for limit, value in limits.items():
        setattr(tenant, limit, value)
    session.flush()
    return TenantView.model_validate(tenant)


def create_key(session: Session, settings: Settings, tenant_name: str, name: str) -> str:
    """Make an API key and return its text. The text is not stored: this is the only time it is known."""
    key_id, secret = new_id("key"), new_secret()
    tenant_id = ensure_tenant(session, tenant_name)
    digest = digest_secret(load_pepper(settings), secret)
    session.add(ApiKey(id=key_id, tenant_id=tenant_id, name=name, digest=digest))
    session.flush()
    return format_key(key_id, secret)


def list_keys(session: Session, tenant: str | None = None) -> list[KeyView]:
    """The keys of one tenant, or of all; newest first. Raises NotFoundError for an unknown tenant."""
    if tenant is not None and repository.find_tenant(session, tenant) is None:
        raise NotFoundError(f"There is no tenant {tenant!r}.")
    return [
        KeyView(
            id=key.id,
            tenant=owner,
            name=key.name,
            state="revoked" if key.revoked_at else "expired" if over else "live",
            created_at=key.created_at,
            expires_at=key.expires_at,
            revoked_at=key.revoked_at,
        )
        for key, owner, over in repository.list_keys(session, tenant)
    ]


def revoke_key(session: Session, key_id: str) -> KeyView:
    """End a key, now. Raises NotFoundError."""
    if not repository.revoke(session, key_id):
        raise NotFoundError(f"There is no key {key_id!r}; `cleave keys list` shows them.")
    return next(key for key in list_keys(session) if key.id == key_id)


def ensure_default_key(session: Session, settings: Settings) -> str | None:
    """At the first start, a key of the default tenant; None when it has one already."""
    if repository.has_key(session, ensure_tenant(session)):
        return None
    return create_key(session, settings, DEFAULT_TENANT, "first")


def authenticate(session: Session, pepper: bytes, presented: str) -> Caller:
    """The caller who holds this key. Raises UnauthorizedError."""
    parsed = parse_key(presented)
    key = repository.find_live_key(session, parsed.key_id) if parsed else None
    if (
        not secret_matches(pepper, parsed.secret if parsed else "", key.digest if key else None)
        or key is None
    ):
        raise UnauthorizedError("The API key is unknown, expired or revoked.")
    return Caller(tenant_id=key.tenant_id, key_id=key.id)


def default_caller(session: Session) -> Caller:
    """The caller of a service that runs without API keys."""
    tenant_id = repository.find_tenant(session, DEFAULT_TENANT)
    if tenant_id is None:
        raise UnauthorizedError("The database has no default tenant; run `cleave db upgrade`.")
    return Caller(tenant_id=tenant_id, key_id=None)
