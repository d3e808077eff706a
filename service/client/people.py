# Written by `python -m service.sync_client` from aio/people.py, which is the one to change.
"""API keys and the audit log; both need a key of scope `admin`."""

from typing import Any

from service.client.account import ApiKey, AuditEvent
from service.client.pages import Page
from service.client.transport import Transport, segment


class ApiKeysClient:
    """`client.api_keys`: the keys of your tenant."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, name: str, *, scope: str = "write", expires_in_days: int | None = None) -> ApiKey:
        """Make a key of scope read, write or admin. Keep the answer's `api_key`: it is shown this once."""
        body = {"name": name, "scope": scope, "expires_in_days": expires_in_days}
        return self._transport.post("/v1/api_keys", ApiKey, body)

    def list(self, *, limit: int | None = None, after: str | None = None) -> Page[ApiKey]:
        return self._transport.get("/v1/api_keys", Page[ApiKey], {"limit": limit, "after": after})

    def get(self, key_id: str) -> ApiKey:
        return self._transport.get(f"/v1/api_keys/{segment(key_id)}", ApiKey)

    def rotate(self, key_id: str, *, overlap_s: int = 86_400) -> ApiKey:
        """A new secret; the one before stays good for `overlap_s` seconds."""
        path = f"/v1/api_keys/{segment(key_id)}/rotate"
        return self._transport.post(path, ApiKey, {"overlap_s": overlap_s})

    def revoke(self, key_id: str) -> ApiKey:
        """End a key for good."""
        return self._transport.post(f"/v1/api_keys/{segment(key_id)}/revoke", ApiKey)


class AuditClient:
    """`client.audit_events`: who did what."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, limit: int | None = None, after: str | None = None, **filters: Any) -> Page[AuditEvent]:
        """One page, newest first. `filters`: operation, resource, key_id."""
        parameters = {"limit": limit, "after": after, **filters}
        return self._transport.get("/v1/audit_events", Page[AuditEvent], parameters)
