"""What goes out about models, and the figures measured of anything."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from core.catalog import ArchitectureInfo
from core.specs import Identifier, ImportModelOptions
from service.artifacts.schemas import ArtifactView
from service.models.words import ModelName
from service.platform.answers import InOneOrder
from service.platform.openapi import DIGEST_EXAMPLE
from service.registry.labels import MAX_PAIRS, MAX_TAGS, Key, LabelsPatch, Tag, Value
from service.registry.search import Bounds, ClassFilter, Origin

MODEL_EXAMPLE: dict[str, Any] = {
    "id": "mdl_019b3c5e79d07a0d9a6b3f2e1d0c4b5a",
    "name": "digits-nemo",
    "version": 2,
    "aliases": ["champion"],
    "tags": ["production"],
    "metadata": {"team": "vision"},
    "job_id": "job_019b3c5e6f117c5a9d3e4b2a1c0f8e7d",
    "architecture": "small_cnn",
    "approach": "nemo",
    "recipe": "published",
    "origin": "trained",
    "initial_model_id": None,
    "dataset": "digits",
    "dataset_id": "ds_019b3c5e79c97e2f8c7d6e5f4a3b2c1d",
    "dataset_digest": DIGEST_EXAMPLE,
    "classes": ["0", "1", "2"],
    "input_shape": [1, 8, 8],
    "units": {"features.1": 32},
    "parameters": 61706,
    "flops": 1203456,
    "seed": 0,
    "versions": {"cleave": "0.1.0", "torch": "2.14.1"},
    "metrics": [{"name": "accuracy", "value": 0.981, "split": "test", "class_name": None, "epoch": None}],
    "artifacts": [
        {
            "id": "art_019b3c5e79e17b6a8d9c0e1f2a3b4c5d",
            "role": "weights",
            "filename": "model.safetensors",
            "size": 253120,
            "sha256": DIGEST_EXAMPLE,
            "media_type": "application/octet-stream",
            "url": "/v1/artifacts/art_019b3c5e79e17b6a8d9c0e1f2a3b4c5d/content",
        }
    ],
    "created_at": "2026-01-15T10:03:41.000Z",
}
_IMPORT_EXAMPLE: dict[str, Any] = {
    "upload_id": "upl_019b3c5e79c97e2f8c7d6e5f4a3b2c1d",
    "architecture": "torchvision:resnet18",
    "class_names": ["cat", "dog", "truck"],
    "input_shape": [3, 224, 224],
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
    "name": "pets",
}


@dataclass(frozen=True)
class ModelSearch:
    """FastAPI dependency: which models, and in which order."""

    origin: Annotated[Origin, Depends()]
    bounds: Annotated[Bounds, Depends()]
    class_name: ClassFilter = None
    name: Annotated[str | None, Query(max_length=64, description="All versions of this name.")] = None
    sort: Literal["-created_at", "created_at", "-parameters", "parameters", "-accuracy"] = "-created_at"


class MetricView(BaseModel):
    """One measured figure. `dataset` and `split` say which data it was measured on."""

    name: str
    value: float
    split: str | None
    class_name: str | None
    epoch: int | None
    dataset: str | None = Field(
        None, description="As a job names it. Null: the dataset that the model is of, or no data."
    )


class ModelView(BaseModel):
    """A trained network."""

    model_config = ConfigDict(json_schema_extra={"examples": [MODEL_EXAMPLE]})

    id: str
    name: str | None = Field(description="What it is a version of; null = it has no name.")
    version: int | None
    aliases: list[str] = Field(description="What `name@alias` finds it by.")
    tags: list[str]
    metadata: dict[str, str]
    job_id: str = Field(description="The job that trained or imported it.")
    origin: Literal["trained", "imported"] = Field(description="imported: its weights were uploaded.")
    architecture: str
    approach: str
    recipe: str
    initial_model_id: str | None = Field(description="The model whose weights its training began with.")
    dataset: str | None = Field(description="Null: imported without one.")
    dataset_id: str | None
    dataset_digest: str | None = Field(description="sha256 over images, labels and splits.")
    classes: list[str] = Field(description="In the order of the outputs.")
    input_shape: list[int]
    units: InOneOrder[int] = Field(description="Masked layers and their neurons.")
    parameters: int
    flops: int = Field(description="Multiply-accumulate operations for one image.")
    seed: int | None = Field(description="Null: imported.")
    versions: InOneOrder[str]
    metrics: list[MetricView]
    artifacts: list[ArtifactView]
    created_at: datetime


class ModelPatch(LabelsPatch):
    """What to change of a model; fields left out stay."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "digits-nemo", "tags": ["production"]}]}
    )

    name: ModelName | None = Field(
        None, description="Makes the model the next version of this name; null takes it off its name."
    )


class ModelImport(ImportModelOptions):
    """Weights that were trained elsewhere, to become a model."""

    model_config = ConfigDict(json_schema_extra={"examples": [_IMPORT_EXAMPLE]})

    upload_id: Identifier = Field(description="A whole upload of a safetensors file: POST /v1/uploads.")
    name: ModelName | None = Field(None, description="Makes the model the next version of this name.")
    tags: list[Tag] = Field(default_factory=list, max_length=MAX_TAGS)
    metadata: dict[Key, Value] = Field(
        default_factory=dict, max_length=MAX_PAIRS, description="Of the job and of the model."
    )


class ModelClassView(BaseModel):
    """One class of a model and how well the model knows it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "3",
                    "position": 3,
                    "metrics": [
                        {
                            "name": "class_accuracy",
                            "value": 0.97,
                            "split": "validation",
                            "class_name": "3",
                            "epoch": None,
                        }
                    ],
                }
            ]
        }
    )

    name: str
    position: int = Field(description="Index of its output.")
    metrics: list[MetricView]


class ArchitectureView(ArchitectureInfo):
    """A registered architecture."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "simcnn",
                    "description": "SimCNN: 13 plain convolutions.",
                    "min_size": 32,
                    "max_size": 32,
                }
            ]
        }
    )
