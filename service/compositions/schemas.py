"""What goes out about compositions."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Depends
from pydantic import BaseModel, ConfigDict, Field

from core.specs import ComposeSpec, ModuleForm
from service.artifacts.schemas import ArtifactView
from service.jobs.examples import JOB as JOB_EXAMPLE
from service.jobs.schemas import JobRead
from service.models.schemas import MetricView
from service.modules.schemas import NetworkSort
from service.platform.openapi import DIGEST_EXAMPLE
from service.registry.search import ClassFilter, IdFilter, Origin, ScoredBounds

COMPOSITION_EXAMPLE: dict[str, Any] = {
    "id": "cmp_019b3c5e7b1c7e30b1c2d3e4f5061728",
    "model_id": "mdl_019b3c5e79d07a0d9a6b3f2e1d0c4b5a",
    "job_id": "job_019b3c5e7b1d7f41a2b3c4d5e6f70819",
    "module_ids": ["mod_019b3c5e7a8f7d21a0b1c2d3e4f50617", "mod_019b3c5e7a917e32b1c2d3e4f5061728"],
    "classes": ["3", "5"],
    "strategy": "union",
    "form": "gated",
    "fold_amplitudes": False,
    "formats": ["pt2", "safetensors"],
    "ready": True,
    "retention_rate": 0.42,
    "parameters": 14210,
    "parameter_rate": 0.33,
    "flops": 301120,
    "flops_rate": 0.28,
    "notes": [],
    "tags": ["production"],
    "metadata": {"team": "vision"},
    "metrics": [{"name": "accuracy", "value": 0.99, "split": "test", "class_name": None, "epoch": None}],
    "artifacts": [
        {
            "id": "art_019b3c5e7b2f7a52b3c4d5e6f7081920",
            "role": "program",
            "filename": "composition_3_5.pt2",
            "size": 71204,
            "sha256": DIGEST_EXAMPLE,
            "media_type": "application/octet-stream",
            "url": "/v1/artifacts/art_019b3c5e7b2f7a52b3c4d5e6f7081920/content",
        }
    ],
    "created_at": "2026-01-15T10:05:12.456Z",
}


@dataclass(frozen=True)
class CompositionSearch:
    """FastAPI dependency: which compositions, and in which order."""

    origin: Annotated[Origin, Depends()]
    bounds: Annotated[ScoredBounds, Depends()]
    model_id: IdFilter = None
    form: ModuleForm | None = None
    class_name: ClassFilter = None
    ready: bool | None = None
    sort: NetworkSort = "-created_at"


class CompositionView(BaseModel):
    """A classifier made of modules. Sizes are null until it is built."""

    model_config = ConfigDict(json_schema_extra={"examples": [COMPOSITION_EXAMPLE]})

    id: str
    model_id: str
    job_id: str = Field(description="The newest job asked to build it.")
    module_ids: list[str]
    classes: list[str] = Field(description="In the order of the outputs.")
    strategy: Literal["union"]
    form: ModuleForm
    fold_amplitudes: bool
    formats: list[str]
    ready: bool
    retention_rate: float | None
    parameters: int | None
    parameter_rate: float | None
    flops: int | None
    flops_rate: float | None
    notes: list[str]
    tags: list[str]
    metadata: dict[str, str]
    metrics: list[MetricView]
    artifacts: list[ArtifactView]
    created_at: datetime


class ComposeRequest(ComposeSpec):
    """Modules of one model, joined into one classifier. Ask by classes, by modules, or both."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"classes": ["3", "5", "8"], "form": "gated"}]})


class CompositionAnswer(BaseModel):
    """The composition, and the job that builds or built it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"composition": COMPOSITION_EXAMPLE, "job": {**JOB_EXAMPLE, "kind": "compose"}}]
        }
    )

    composition: CompositionView
    job: JobRead
