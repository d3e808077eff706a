"""Where things come from, what stands beside what, and what a card says."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.models.schemas import MODEL_EXAMPLE, MetricView
from service.modules.schemas import MODULE_EXAMPLE
from service.platform.answers import InOneOrder
from service.platform.openapi import DIGEST_EXAMPLE

Kind = Literal["model", "module", "composition"]
Value = str | int | float | bool | list[str] | list[int] | None

_VERSIONS = {"cleave": "0.1.0", "torch": "2.14.1"}


def _made_by(job_id: str, kind: str, seed: int | None) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "kind": kind,
        "spec_sha256": DIGEST_EXAMPLE,
        "seed": seed,
        "attempt": 1,
        "versions": _VERSIONS,
        "finished_at": "2026-01-15T10:04:05.123Z",
    }


LINEAGE_EXAMPLE: dict[str, Any] = {
    "id": MODULE_EXAMPLE["id"],
    "kind": "module",
    "made_by": _made_by(MODULE_EXAMPLE["job_id"], "extract", None),
    "model": {
        "id": MODEL_EXAMPLE["id"],
        "name": "digits-nemo",
        "version": 2,
        "architecture": "small_cnn",
        "approach": "nemo",
        "recipe": "published",
        "dataset_id": MODEL_EXAMPLE["dataset_id"],
        "dataset": "digits",
        "origin": "trained",
        "dataset_digest": DIGEST_EXAMPLE,
        "source_sha256": None,
        "initial_model_id": None,
        "teacher_model_id": None,
        "made_by": _made_by(MODEL_EXAMPLE["job_id"], "train", 0),
    },
    "made_of": [],
    "modules": {"total": 0, "ids": []},
    "compositions": {"total": 1, "ids": ["cmp_019b3c5e7b1c7e30b1c2d3e4f5061728"]},
    "models": {"total": 0, "ids": []},
}


class MadeBy(BaseModel):
    """The job that made it, and what that job computed with."""

    job_id: str
    kind: str
    spec_sha256: str = Field(description="Digest of what was asked for.")
    seed: int | None = Field(description="Null where no chance is involved.")
    attempt: int = Field(description="Which attempt succeeded: GET /v1/jobs/{id}/attempts.")
    versions: InOneOrder[str] = Field(description="Of the code that computed it.")
    finished_at: datetime | None


class Origin(BaseModel):
    """The model that everything is cut from, and the data that it was trained on."""

    id: str
    name: str | None
    version: int | None
    architecture: str
    approach: str
    recipe: str
    origin: str = Field(description="trained, or imported: its weights were uploaded.")
    dataset_id: str | None
    dataset: str | None
    dataset_digest: str | None
    source_sha256: str | None = Field(description="Of an imported model the uploaded file.")
    initial_model_id: str | None = Field(description="The model whose weights its training began with.")
    teacher_model_id: str | None
    made_by: MadeBy


class Users(BaseModel):
    """What was made of it: how many, and the newest of them."""

    total: int
    ids: list[str]


class LineageView(BaseModel):
    """Upstream to the data, downstream to whatever uses it."""

    model_config = ConfigDict(json_schema_extra={"examples": [LINEAGE_EXAMPLE]})

    id: str
    kind: Kind
    made_by: MadeBy | None = Field(description="Null while a composition waits to be built.")
    model: Origin
    made_of: list[str] = Field(description="The modules of a composition.")
    modules: Users
    compositions: Users
    models: Users = Field(description="Models whose training began with its weights.")


class ComparedRow(BaseModel):
    """One property or figure of each."""

    name: str
    split: str | None = None
    class_name: str | None = None
    dataset: str | None = Field(None, description="Null: the dataset that each is of.")
    values: list[Value] = Field(description="In the order of `ids`; null = it has none.")
    differences: list[float | None] | None = Field(
        None, description="Of numbers: each value less the first; null for a property."
    )
    same: bool


class ComparisonView(BaseModel):
    """Several side by side."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "ids": [MODEL_EXAMPLE["id"], "mdl_019b3c5e79d07a0d9a6b3f2e1d0c4b5b"],
                    "rows": [
                        {"name": "approach", "values": ["nemo", "mwt"], "same": False},
                        {"name": "accuracy", "split": "test", "values": [0.98, 0.97],
                         "differences": [0.0, -0.01], "same": False},
                    ],
                }
            ]
        }
    )  # fmt: skip

    ids: list[str]
    rows: list[ComparedRow]


class CardView(BaseModel):
    """What one should know before using it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": MODULE_EXAMPLE["id"],
                    "kind": "module",
                    "title": "small_cnn for 3",
                    "summary": "A module cut out of a small_cnn that was trained on digits.",
                    "properties": {"parameters": 9120, "form": "gated"},
                    "classes": ["3"],
                    "metrics": MODULE_EXAMPLE["metrics"],
                    "lineage": LINEAGE_EXAMPLE,
                    "intended_use": ["Telling images of the class 3 from those of the other classes."],
                    "limits": ["Measured on images of digits only."],
                    "usage": "import torch\n",
                    "tags": ["production"],
                    "metadata": {"team": "vision"},
                }
            ]
        }
    )

    id: str
    kind: Kind
    title: str
    summary: str
    properties: dict[str, Value]
    classes: list[str] = Field(description="In the order of the outputs.")
    metrics: list[MetricView]
    lineage: LineageView
    intended_use: list[str]
    limits: list[str]
    usage: str = Field(description="Python that loads and asks it.")
    tags: list[str]
    metadata: dict[str, str]
