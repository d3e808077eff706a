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
from core.import_specs import ImportModelOptions, ImportModelSpec, ImportOptions, ImportSpec, UploadFormat
from core.job_options import IDENTIFIER, REFERENCE, Identifier, JobOptions
from core.module_specs import (
    DEFAULT_THRESHOLDS,
    ArtifactFormat,
    ComposeSpec,
    EvaluateSpec,
    ExtractSpec,
    ModuleForm,
    Split,
    SweepSpec,
)
from core.spec_digests import spec_digest
from core.train_specs import TrainSpec, takes_images, takes_size

__all__ = [
    "ARCHITECTURES", "DATASETS", "DEFAULT_THRESHOLDS", "GATED_RECIPES", "IDENTIFIER", "REFERENCE", "AnySpec",
    "ApproachSpec", "ArchitectureInfo", "ArchitectureName", "ArtifactFormat", "CleaveSpec", "ComposeSpec",
    "DatasetInfo", "DatasetName", "EvaluateSpec", "ExtractSpec", "Identifier", "ImportModelOptions",
    "ImportModelSpec", "ImportOptions", "ImportSpec", "JobOptions", "JobSpec", "ModaSpec", "ModuleForm",
    "MwtSpec", "NemoSpec", "Split", "StandardSpec", "SweepSpec", "TrainSpec", "UploadFormat",
    "parse_job_spec", "spec_digest", "takes_images", "takes_size",
]  # fmt: skip

# What a caller may ask for; the service itself asks for imports too.
JobSpec = Annotated[
    TrainSpec | ExtractSpec | ComposeSpec | EvaluateSpec | SweepSpec, Field(discriminator="kind")
]
AnySpec = TrainSpec | ExtractSpec | ComposeSpec | EvaluateSpec | SweepSpec | ImportSpec | ImportModelSpec
_ADAPTER: TypeAdapter[AnySpec] = TypeAdapter(Annotated[AnySpec, Field(discriminator="kind")])


def parse_job_spec(data: dict[str, Any]) -> AnySpec:
    """The stored or received JSON form as a spec. Raises pydantic.ValidationError."""
    return _ADAPTER.validate_python(data)
