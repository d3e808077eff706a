"""What is told about API keys and the audit log."""

from datetime import datetime

from service.client.schemas import Resource


class ApiKey(Resource):
    """A key. `api_key` is only in the answers to `create` and `rotate`."""

    id: str
    tenant: str
    name: str
    scope: str
    state: str
    created_at: datetime | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    previous_until: datetime | None = None
    api_key: str | None = None


class AuditEvent(Resource):
    """Who did what: the operation, what it was about, and the status it was answered with."""

    id: str
    key_id: str | None
    operation: str
    resource: str | None
    status: int
    request_id: str | None = None
    address: str | None = None
    created_at: datetime | None = None
