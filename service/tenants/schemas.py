"""What is told about API keys: everything but the key."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel


class KeyView(BaseModel):
    """One API key, without its secret."""

    id: str
    tenant: str
    name: str
    state: Literal["live", "revoked", "expired"]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
