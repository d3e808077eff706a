"""API keys and the audit log; both need a key of scope `admin`."""

from typing import Any

from service.client.account import ApiKey, AuditEvent
from service.client.aio.transport import AsyncTransport, segment
from service.client.pages import Page


class AsyncApiKeysClient:
    """`client.api_keys`: the keys of your tenant."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def create(self, name: str, *, scope: str = "write", expires_in_days: int | None = None) -> ApiKey:
        """Make a key of scope read, write or admin. Keep the answer's `api_key`: it is shown this once."""
        body = {"name": name, "scope": scope, "expires_in_days": expires_in_days}
        return await self._transport.post("/v1/api_keys", ApiKey, body)

    async def list(self, *, limit: int | None = None, after: str | None = None) -> Page[ApiKey]:
        return await self._transport.get("/v1/api_keys", Page[ApiKey], {"limit": limit, "after": after})

    async def get(self, key_id: str) -> ApiKey:
        return await self._transport.get(f"/v1/api_keys/{segment(key_id)}", ApiKey)

    async def rotate(self, key_id: str, *, overlap_s: int = 86_400) -> ApiKey:
        """A new secret; the one before stays good for `overlap_s` seconds."""
        path = f"/v1/api_keys/{segment(key_id)}/rotate"
        return await self._transport.post(path, ApiKey, {"overlap_s": overlap_s})

    async def revoke(self, key_id: str) -> ApiKey:
        """End a key for good."""
        return await self._transport.post(f"/v1/api_keys/{segment(key_id)}/revoke", ApiKey)


class AsyncAuditClient:
    """`client.audit_events`: who did what."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def list(
        self, *, limit: int | None = None, after: str | None = None, **filters: Any
    ) -> Page[AuditEvent]:
        """One page, newest first. `filters`: operation, resource, key_id."""
        parameters = {"limit": limit, "after": after, **filters}
        return await self._transport.get("/v1/audit_events", Page[AuditEvent], parameters)
