"""API keys: making, rotating and ending them, and who holds one."""

import logging
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from service.platform.auth import (
    digest_secret,
    format_key,
    load_pepper,
    new_secret,
    parse_key,
    secret_matches,
)
from service.platform.clock import db_now
from service.platform.errors import KeyEndedError, NotFoundError, UnauthorizedError
from service.platform.ids import new_id
from service.platform.pagination import ListOf, PageRequest
from service.platform.scopes import Scope
from service.platform.settings import Settings
from service.tenants import repository
from service.tenants.schemas import KeyCreate, KeySecret, KeyView
from service.tenants.service import DEFAULT_TENANT, Caller, ensure_tenant
from service.tenants.tables import ApiKey, Tenant

_LOG = logging.getLogger(__name__)
_DAY_MS = 86_400_000


def create(session: Session, pepper: bytes, tenant_id: str, request: KeyCreate) -> KeySecret:
    """Make a key. Its text is not stored: this is the only time it is known."""
    secret = new_secret()
    days = request.expires_in_days
    over: Any = None if days is None else db_now() + days * _DAY_MS
    key = ApiKey(
        id=new_id("key"),
        tenant_id=tenant_id,
        name=request.name,
        scope=request.scope.value,
        digest=digest_secret(pepper, secret),
        expires_at=over,
    )
    session.add(key)
    session.flush()
    return _shown_once(session, key, secret)


def create_key(session: Session, settings: Settings, tenant_name: str, name: str, **values: Any) -> str:
    """`create` for a tenant by name, which is made if there is none; returns the key's text."""
    request = KeyCreate(name=name, **{"scope": Scope.ADMIN, **values})
    return create(session, load_pepper(settings), ensure_tenant(session, tenant_name), request).api_key


def ensure_default_key(session: Session, settings: Settings) -> str | None:
    """At the first start, a key of the default tenant; None when it has one already."""
    if repository.has_key(session, ensure_tenant(session)):
        return None
    return create_key(session, settings, DEFAULT_TENANT, "first")


def rotate(session: Session, pepper: bytes, key_id: str, overlap_s: int) -> KeySecret:
    """A new secret for the key; the one before stays good for `overlap_s` seconds.

    Raises NotFoundError, and KeyEndedError for a key that is revoked or expired.
    """
    key = repository.find_key_locked(session, key_id)  # of two rotations the second keeps the first's secret
    if key is None:
        raise _unknown(key_id)
    if _state(session, key) != "live":
        raise KeyEndedError("The key is over; make a new one.")
    secret = new_secret()
    until: Any = db_now() + overlap_s * 1000
    key.previous_digest, key.previous_until = key.digest, until
    key.digest = digest_secret(pepper, secret)
    session.flush()
    return _shown_once(session, key, secret)


def revoke(session: Session, key_id: str) -> KeyView:
    """End a key, now. Raises NotFoundError."""
    key = _find(session, key_id)
    repository.revoke(session, key_id)
    session.refresh(key)
    return _view(session, key)


def get(session: Session, key_id: str) -> KeyView:
    """One key, without its secret. Raises NotFoundError."""
    return _view(session, _find(session, key_id))


def page_of_keys(session: Session, page: PageRequest) -> ListOf[KeyView]:
    """The keys that the session sees, newest first."""
    found = repository.page_of_keys(session, page)
    return ListOf[KeyView].of([_view(session, key) for key in found.rows], found.next_cursor)


def list_keys(session: Session, tenant: str | None = None) -> list[KeyView]:
    """The keys of one tenant, or of all; newest first. Raises NotFoundError for an unknown tenant."""
    if tenant is not None and repository.find_tenant(session, tenant) is None:
        raise NotFoundError(f"There is no tenant {tenant!r}.")
    return [_view(session, key) for key in repository.list_keys(session, tenant)]


def authenticate(session: Session, pepper: bytes, presented: str) -> tuple[Caller, datetime | None]:
    """The caller who holds this key, and when it was last seen to be used. Raises UnauthorizedError."""
    parsed = parse_key(presented)
    key = repository.find_live_key(session, parsed.key_id) if parsed else None
    secret = parsed.secret if parsed else ""
    known = secret_matches(pepper, secret, key.digest if key else None)
    if not known and key is not None and key.previous_digest is not None:
        known = secret_matches(pepper, secret, repository.previous_digest(session, key.id))
    if not known and key is not None:
        # The caller is not told that the key exists. Seen by one API process and not by another: the latter.
        _LOG.warning(
            "%s is on record, but not with this secret: mistyped, or another CLEAVE_SECRET_KEY", key.id
        )
    if not known or key is None:
        raise UnauthorizedError("The API key is unknown, expired or revoked.")
    return Caller(key.tenant_id, key.id, Scope(key.scope)), key.last_used_at


def _find(session: Session, key_id: str) -> ApiKey:
    key = repository.find_key(session, key_id)
    if key is None:
        raise _unknown(key_id)
    return key


def _unknown(key_id: str) -> NotFoundError:
    return NotFoundError(f"There is no key {key_id!r}.")


def _state(session: Session, key: ApiKey) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and repository.is_over(session, key.id) else "live"


def _view(session: Session, key: ApiKey) -> KeyView:
    values = {name: getattr(key, name) for name in KeyView.model_fields.keys() - {"tenant", "state"}}
    tenant = session.get_one(Tenant, key.tenant_id).name
    return KeyView(tenant=tenant, state=_state(session, key), **values)


def _shown_once(session: Session, key: ApiKey, secret: str) -> KeySecret:
    session.refresh(key)
    return KeySecret(api_key=format_key(key.id, secret), **_view(session, key).model_dump())
