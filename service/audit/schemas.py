"""The audit log as callers see it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from service.registry.search import Moment


class AuditEventRead(BaseModel):
    """Who did what, and how it was answered."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "examples": [
                {
                    "id": "aud_0193c7",
                    "key_id": "key_0193b5",
                    "operation": "jobs_create",
                    "resource": "job_0193a1",
                    "status": 202,
                    "request_id": "req_0193c7",
                    "address": "10.1.2.3",
                    "created_at": "2026-11-21T10:00:00Z",
                }
            ]
        },
    )

    id: str
    key_id: str | None = Field(
        description="Null: at the command line of the service's host, or without keys."
    )
    operation: str = Field(description="The operationId, or the command.")
    resource: str | None = Field(description="What was made or named.")
    status: int = Field(description="How it was answered; 200 for a command.")
    request_id: str | None
    address: str | None
    created_at: datetime


@dataclass(frozen=True)
class AuditSearch:
    """FastAPI dependency: the filters of the list."""

    operation: Annotated[str | None, Query(max_length=64)] = None
    resource: Annotated[str | None, Query(max_length=200, description="The id of a thing.")] = None
    key_id: Annotated[str | None, Query(max_length=64)] = None
    created_from: Annotated[Moment | None, Query(alias="created_at[gte]")] = None
    created_before: Annotated[Moment | None, Query(alias="created_at[lt]")] = None
