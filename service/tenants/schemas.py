"""What is told about tenants and API keys: everything but the key."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from core.texts import LINE
from service.platform.scopes import Scope

KeyId = Annotated[str, Path(pattern=r"^key_[0-9a-z]+$", max_length=64)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=LINE)]
_KEY: dict[str, Any] = {
    "id": "key_0193b5",
    "tenant": "default",
    "name": "ci",
    "scope": "write",
    "state": "live",
    "created_at": "2026-11-21T09:00:00Z",
    "expires_at": None,
    "revoked_at": None,
    "last_used_at": "2026-11-21T10:00:00Z",
    "previous_until": None,
}


class TenantView(BaseModel):
    """One tenant; a limit of null is the settings' for everybody."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    max_running: int | None
    max_queued: int | None
    max_stored_mib: int | None


class KeyCreate(BaseModel):
    """A key to make."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"name": "ci", "scope": "write"}]}
    )

    name: Name
    scope: Scope = Field(Scope.WRITE, description="read, write or admin; each includes the one before.")
    expires_in_days: int | None = Field(
        None, strict=True, ge=1, le=3650, description="Null: it does not expire."
    )


class KeyRotate(BaseModel):
    """How the new secret takes the place of the old one."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"overlap_s": 3600}]})

    overlap_s: int = Field(
        86_400, strict=True, ge=0, le=7 * 86_400, description="For so long the secret before stays good."
    )


class KeyView(BaseModel):
    """One API key, without its secret."""

    model_config = ConfigDict(json_schema_extra={"examples": [_KEY]})

    id: str
    tenant: str
    name: str
    scope: Scope
    state: Literal["live", "revoked", "expired"]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute.")
    previous_until: datetime | None = Field(
        description="Until when the secret before the last rotation is good."
    )


class KeySecret(KeyView):
    """A key with its text, which is shown this once."""

    model_config = ConfigDict(json_schema_extra={"examples": [{**_KEY, "api_key": "cleave_0193b5_9f86d081"}]})

    api_key: str
