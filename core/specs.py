"""What can be asked of the engine: the one definition of every job's parameters (pydantic, torch-free).

The API validates with these models, the job row stores them, the runner hands them to the engine.
"""

from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from core.approach_specs import (
    GATED_RECIPES,
    ApproachSpec,
    CleaveSpec,
    ModaSpec,
    MwtSpec,
    NemoSpec,
    StandardSpec,
)
from core.catalog import ARCHITECTURES, DATASETS, ArchitectureInfo, ArchitectureName, DatasetInfo, DatasetName
from core.job_options import JobOptions
from core.module_specs import (
    DEFAULT_THRESHOLDS,
    ArtifactFormat,
    ComposeSpec,
    EvaluateSpec,
    ExtractSpec,
    ModuleForm,
    Split,
)
from core.spec_digests import spec_digest
from core.train_specs import TrainSpec

__all__ = [
    "ARCHITECTURES", "DATASETS", "DEFAULT_THRESHOLDS", "GATED_RECIPES", "ApproachSpec", "ArchitectureInfo",
    "ArchitectureName", "ArtifactFormat", "CleaveSpec", "ComposeSpec", "DatasetInfo", "DatasetName",
    "EvaluateSpec", "ExtractSpec", "JobOptions", "JobSpec", "ModaSpec", "ModuleForm", "MwtSpec", "NemoSpec",
    "Split", "StandardSpec", "TrainSpec", "parse_job_spec", "spec_digest",
]  # fmt: skip

JobSpec = Annotated[TrainSpec | ExtractSpec | ComposeSpec | EvaluateSpec, Field(discriminator="kind")]
_ADAPTER: TypeAdapter[TrainSpec | ExtractSpec | ComposeSpec | EvaluateSpec] = TypeAdapter(JobSpec)


def parse_job_spec(data: dict[str, Any]) -> TrainSpec | ExtractSpec | ComposeSpec | EvaluateSpec:
    """The stored or received JSON form as a spec. Raises pydantic.ValidationError."""
    return _ADAPTER.validate_python(data)
