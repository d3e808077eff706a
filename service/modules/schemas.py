"""What goes out about modules."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from core.specs import ModuleForm
from service.artifacts.schemas import ArtifactView
from service.models.schemas import MetricView
from service.platform.openapi import DIGEST_EXAMPLE
from service.registry.search import ClassFilter, Floor, IdFilter, Origin, ScoredBounds, SplitFilter

MODULE_EXAMPLE: dict[str, Any] = {
    "id": "mod_019b3c5e7a8f7d21a0b1c2d3e4f50617",
    "model_id": "mdl_019b3c5e79d07a0d9a6b3f2e1d0c4b5a",
    "job_id": "job_019b3c5e7a0e7bb1a2c3d4e5f6071829",
    "classes": ["3"],
    "form": "gated",
    "fold_amplitudes": False,
    "threshold": 0.9,
    "mask_digest": DIGEST_EXAMPLE,
    "retention_rate": 0.31,
    "parameters": 9120,
    "parameter_rate": 0.21,
    "flops": 210432,
    "flops_rate": 0.19,
    "notes": [],
    "tags": ["production"],
    "metadata": {"team": "vision"},
    "metrics": [{"name": "f1", "value": 0.97, "split": "validation", "class_name": None, "epoch": None}],
    "artifacts": [
        {
            "id": "art_019b3c5e7a907b3e8f5d2c1a4b6d8e0f",
            "role": "program",
            "filename": "module_3.pt2",
            "size": 48213,
            "sha256": DIGEST_EXAMPLE,
            "media_type": "application/octet-stream",
            "url": "/v1/artifacts/art_019b3c5e7a907b3e8f5d2c1a4b6d8e0f/content",
        }
    ],
    "created_at": "2026-01-15T10:04:05.123Z",
}


NetworkSort = Literal[
    "-created_at", "created_at", "-parameters", "parameters", "-f1", "-accuracy"
]  # of modules and compositions


@dataclass(frozen=True)
class ModuleSearch:
    """FastAPI dependency: which modules, and in which order."""

    origin: Annotated[Origin, Depends()]
    bounds: Annotated[ScoredBounds, Depends()]
    model_id: IdFilter = None
    form: ModuleForm | None = None
    class_name: ClassFilter = None
    sort: NetworkSort = "-created_at"


@dataclass(frozen=True)
class ClassSearch:
    """FastAPI dependency: the class looked for, and what a module that knows it must fit."""

    name: Annotated[str, Query(min_length=1, max_length=200, description="The class looked for.")]
    model_id: IdFilter = None
    form: ModuleForm | None = None
    max_params: Annotated[int | None, Query(ge=0, lt=2**63, description="Parameters at most.")] = None
    min_f1: Floor = None
    min_accuracy: Floor = None
    split: SplitFilter = "validation"


class ModuleView(BaseModel):
    """The part of a model that knows one or more of its classes."""

    model_config = ConfigDict(json_schema_extra={"examples": [MODULE_EXAMPLE]})

    id: str
    model_id: str
    job_id: str = Field(description="The job that extracted it.")
    classes: list[str] = Field(description="In the order of the outputs.")
    form: ModuleForm
    fold_amplitudes: bool
    threshold: float
    mask_digest: str = Field(description="sha256 over the mask's units and bits.")
    retention_rate: float = Field(description="Kept neurons / neurons of all masked layers.")
    parameters: int
    parameter_rate: float = Field(description="Parameters / parameters of the standard network.")
    flops: int
    flops_rate: float
    notes: list[str] = Field(description="Pinned channels, lowered thresholds, and why.")
    tags: list[str]
    metadata: dict[str, str]
    metrics: list[MetricView]
    artifacts: list[ArtifactView]
    created_at: datetime


class ClassMatch(BaseModel):
    """A module that knows the class, and how well."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "3",
                    "module_id": MODULE_EXAMPLE["id"],
                    "model_id": MODULE_EXAMPLE["model_id"],
                    "validation_score": 0.97,
                    "module": MODULE_EXAMPLE,
                }
            ]
        }
    )

    name: str = Field(description="The class.")
    module_id: str
    model_id: str
    validation_score: float | None = Field(
        description="f1 (one class) or accuracy (several) on validation data; null = not measured."
    )
    module: ModuleView
