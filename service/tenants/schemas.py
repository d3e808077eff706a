"""What is told about tenants and API keys: everything but the key."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict


class TenantView(BaseModel):
    """One tenant; a limit of null is the settings' for everybody."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    max_running: int | None
    max_queued: int | None


class KeyView(BaseModel):
    """One API key, without its secret."""

    id: str
    tenant: str
    name: str
    state: Literal["live", "revoked", "expired"]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
