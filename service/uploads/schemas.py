"""What comes in and goes out about uploads."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from core.texts import LINE
from service.platform.openapi import DIGEST_EXAMPLE

MIB = 1 << 20
DEFAULT_PART_BYTES = 8 * MIB
_EXAMPLE: dict[str, Any] = {
    "id": "upl_019b3c5e79c97e2f8c7d6e5f4a3b2c1d",
    "owner_id": "ds_019b3c5e79c97e2f8c7d6e5f4a3b2c1d",
    "filename": "animals.zip",
    "size": 20_000_000,
    "sha256": DIGEST_EXAMPLE,
    "part_size": DEFAULT_PART_BYTES,
    "part_count": 3,
    "parts": [{"number": 1, "size": DEFAULT_PART_BYTES, "sha256": DIGEST_EXAMPLE}],
    "missing": [2, 3],
    "job_id": None,
    "created_at": "2026-01-15T10:03:41.000Z",
    "expires_at": "2026-01-16T10:03:41.000Z",
}
_ASKED = ("filename", "size", "sha256", "part_size")

UploadId = Annotated[str, Path(pattern=r"^upl_[0-9a-z]+$", max_length=64)]
PartNumber = Annotated[int, Path(ge=1, le=10_000, description="From 1 to `part_count`.")]


class UploadCreate(BaseModel):
    """A file to send in parts."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{name: _EXAMPLE[name] for name in _ASKED}]},
    )

    filename: str = Field(
        min_length=1, max_length=255, pattern=LINE, description="For people; no path is made of it."
    )
    size: int = Field(ge=1, le=1 << 50, description="Bytes of the whole file.")
    sha256: str = Field(
        pattern=r"^[0-9a-f]{64}$", description="Of the whole file, in lower-case hexadecimal."
    )
    part_size: int = Field(
        DEFAULT_PART_BYTES, ge=1024, le=256 * MIB, description="Bytes of each part but the last."
    )


class PartView(BaseModel):
    number: int
    size: int
    sha256: str


class UploadView(BaseModel):
    """An upload: the parts that are there, and those to send."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    id: str
    owner_id: str = Field(description="The dataset it is for; the upload itself where it is for a model.")
    filename: str
    size: int
    sha256: str
    part_size: int
    part_count: int
    parts: list[PartView]
    missing: list[int] = Field(description="Numbers of the parts that are not there yet.")
    job_id: str | None = Field(description="What reads it, once it is complete.")
    created_at: datetime
    expires_at: datetime = Field(description="It is removed then; each part that arrives moves it.")
