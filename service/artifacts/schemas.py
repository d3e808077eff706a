"""What goes out about artifacts."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from service.platform.openapi import DIGEST_EXAMPLE


class ArtifactView(BaseModel):
    """A file of a model, module or composition."""

    id: str
    role: str = Field(description="weights, recipe, statistics, program (a torch.export .pt2) or onnx.")
    filename: str
    size: int = Field(description="Bytes.")
    sha256: str
    media_type: str
    url: str = Field(description="Where the content is; relative to the service's address.")


class SignRequest(BaseModel):
    """How long the link shall hold."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [{"ttl_s": 600}]})

    ttl_s: int = Field(600, ge=1, le=3600, description="Seconds.")


class SignedLink(BaseModel):
    """A link that opens one artifact's content, by GET and HEAD, without an API key."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "url": "https://cleave.example/v1/artifacts/art_019b3c5e7a907b3e8f5d2c1a4b6d8e0f/signed"
                    f"?exp=1768471445&kid=1f0c9b8a&sig={DIGEST_EXAMPLE}",
                    "expires_at": "2026-01-15T10:04:05Z",
                }
            ]
        }
    )

    url: str
    expires_at: datetime


class ArtifactOwner(BaseModel):
    """What the artifact is a part of."""

    owner_id: str
    role: str


class ArtifactDetail(BaseModel):
    """An artifact, the job that made it and what it is a part of."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "art_019b3c5e7a907b3e8f5d2c1a4b6d8e0f",
                    "filename": "module_3.pt2",
                    "size": 48213,
                    "sha256": DIGEST_EXAMPLE,
                    "media_type": "application/octet-stream",
                    "url": "/v1/artifacts/art_019b3c5e7a907b3e8f5d2c1a4b6d8e0f/content",
                    "job_id": "job_019b3c5e6f117c5a9d3e4b2a1c0f8e7d",
                    "owners": [{"owner_id": "mod_019b3c5e7a8f7d21a0b1c2d3e4f50617", "role": "program"}],
                    "created_at": "2026-01-15T10:04:05.123Z",
                }
            ]
        }
    )

    id: str
    filename: str
    size: int = Field(description="Bytes.")
    sha256: str
    media_type: str
    url: str
    job_id: str
    owners: list[ArtifactOwner]
    created_at: datetime
