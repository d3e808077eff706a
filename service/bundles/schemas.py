"""What a manifest says."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.models.schemas import MetricView
from service.platform.openapi import DIGEST_EXAMPLE

_EXAMPLE: dict[str, Any] = {
    "format": "cleave.manifest/1",
    "id": "mod_019b3c5e7a8f7d21a0b1c2d3e4f50617",
    "kind": "module",
    "files": [
        {
            "path": "small_cnn-3.pt2",
            "role": "program",
            "media_type": "application/octet-stream",
            "size": 48213,
            "sha256": DIGEST_EXAMPLE,
            "chunks_8mib": [DIGEST_EXAMPLE],
        }
    ],
    "classes": ["3"],
    "input": {"shape": [1, 8, 8], "dtype": "float32", "range": [0.0, 1.0]},
    "architecture": "small_cnn",
    "approach": "nemo",
    "recipe": "published",
    "form": "gated",
    "parameters": 9120,
    "flops": 201344,
    "model_id": "mdl_019b3c5e79d07a0d9a6b3f2e1d0c4b5a",
    "module_ids": [],
    "job_id": "job_019b3c5e6f117c5a9d3e4b2a1c0f8e7d",
    "dataset": {"id": "ds_019b3c5e79c97e2f8c7d6e5f4a3b2c1d", "name": "digits", "sha256": DIGEST_EXAMPLE},
    "seed": 0,
    "versions": {"cleave": "0.1.0", "torch": "2.14.1"},
    "metrics": [{"name": "f1", "value": 0.97, "split": "validation", "class_name": None, "epoch": None}],
    "created_at": "2026-01-15T10:04:05.123Z",
}


class ManifestFile(BaseModel):
    """A file and its digests: of the whole, and of parts, so that only a bad part is fetched again."""

    path: str = Field(description="Its name beside the manifest.")
    role: str
    media_type: str
    size: int = Field(description="Bytes.")
    sha256: str
    chunks_8mib: list[str] = Field(description="sha256 of each 8 MiB; the last chunk may be shorter.")


class ManifestInput(BaseModel):
    """What the program takes: images (N, *shape)."""

    shape: list[int] = Field(description="Channels, height, width.")
    dtype: Literal["float32"] = "float32"
    range: tuple[float, float] = (0.0, 1.0)


class ManifestDataset(BaseModel):
    """The data that trained the network, or that an imported one is of."""

    id: str
    name: str
    sha256: str = Field(description="Over images, labels and splits.")


class Manifest(BaseModel):
    """Everything that is on record about a model, module or composition, beside its files."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    format: Literal["cleave.manifest/1"] = "cleave.manifest/1"
    id: str
    kind: Literal["model", "module", "composition"]
    files: list[ManifestFile]
    classes: list[str] = Field(description="In the order of the outputs.")
    input: ManifestInput
    architecture: str
    approach: str
    recipe: str
    form: str | None = Field(description="gated or static; null for a whole model.")
    parameters: int
    flops: int
    model_id: str = Field(description="The model it was cut from; a model's own id.")
    module_ids: list[str] = Field(description="What a composition was made of.")
    job_id: str
    dataset: ManifestDataset | None = Field(description="Null: the model was imported without one.")
    seed: int | None = Field(description="Null: the model was imported.")
    versions: dict[str, str] = Field(description="Packages that trained the model.")
    metrics: list[MetricView]
    created_at: datetime
