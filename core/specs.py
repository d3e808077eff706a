"""What can be asked of the engine: the one definition of every job's parameters (pydantic, torch-free).

The API validates with these models, the job row stores them, the runner hands them to the engine.
"""

import hashlib
import json
import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    TypeAdapter,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticKnownError

from core.approach_specs import (
    GATED_RECIPES,
    ApproachSpec,
    CleaveSpec,
    Frozen,
    ModaSpec,
    MwtSpec,
    NemoSpec,
    StandardSpec,
)
from core.catalog import (
    ARCHITECTURES,
    DATASETS,
    PACKAGED_NAME,
    PACKAGES,
    ArchitectureInfo,
    ArchitectureName,
    DatasetInfo,
    DatasetName,
)

__all__ = [
    "ARCHITECTURES", "DATASETS", "GATED_RECIPES", "ApproachSpec", "ArchitectureInfo", "ArchitectureName",
    "ArtifactFormat", "CleaveSpec", "ComposeSpec", "DatasetInfo", "DatasetName", "EvaluateSpec",
    "ExtractSpec", "JobSpec", "ModaSpec", "ModuleForm", "MwtSpec", "NemoSpec", "Split", "StandardSpec",
    "TrainSpec", "parse_job_spec", "spec_digest",
]  # fmt: skip

Split = Literal["validation", "test"]
ModuleForm = Literal["static", "gated"]
ArtifactFormat = Literal["safetensors", "pt2"]
ALL_FORMATS: tuple[ArtifactFormat, ...] = ("safetensors", "pt2")
_FORMATS = "Files to offer; safetensors (with its recipe) is always among them."
_FORM = "gated keeps the sliced mask generators, static drops them; null = gated where the model has any."
ClassName = Annotated[str, Field(min_length=1, max_length=200)]
Identifier = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z]+_[0-9a-z]+$")]
_DISTILLATION_WEIGHT = 0.5
MetadataText = Annotated[str, Field(max_length=512)]


def _with_weights(formats: list[ArtifactFormat]) -> list[ArtifactFormat]:
    """One spelling for every equal request: the weights are needed for whatever comes later."""
    return [name for name in ALL_FORMATS if name == "safetensors" or name in formats]


def _known_architecture(name: str) -> str:
    """A registered name, or one of another package in the right form."""
    if name not in ARCHITECTURES and not re.fullmatch(PACKAGED_NAME, name):
        known = [f"'{known}'" for known in (*ARCHITECTURES, *(f"{package}:<name>" for package in PACKAGES))]
        raise PydanticKnownError("literal_error", {"expected": f"{', '.join(known[:-1])} or {known[-1]}"})
    return name


_ARCHITECTURE_SCHEMA = {
    "anyOf": [{"enum": list(ARCHITECTURES), "type": "string"}, {"pattern": PACKAGED_NAME, "type": "string"}]
}
Architecture = Annotated[str, AfterValidator(_known_architecture), WithJsonSchema(_ARCHITECTURE_SCHEMA)]
Formats = Annotated[list[ArtifactFormat], Field(max_length=2), AfterValidator(_with_weights)]


class JobOptions(Frozen):
    """What every kind of job accepts beside its own parameters; not part of the spec's digest."""

    priority: int = Field(50, ge=0, le=100, description="Larger runs earlier.")
    max_runtime_s: int | None = Field(
        None, ge=1, le=30 * 86400, description="Fail the job after this many seconds."
    )
    expires_after_s: int | None = Field(
        None, ge=1, le=30 * 86400, description="Give up unless it was started this soon after being accepted."
    )
    metadata: dict[Annotated[str, Field(min_length=1, max_length=64)], MetadataText] = Field(
        default_factory=dict, max_length=16, description="Your own labels; returned unchanged."
    )


class TrainSpec(JobOptions):
    """Train a network from scratch, modular or standard."""

    kind: Literal["train"] = "train"
    architecture: Architecture = Field(
        description="Registered architecture, or a classifier of torchvision or timm by its name there."
    )
    dataset: DatasetName = Field(description="Built-in dataset.")
    approach: ApproachSpec = Field(
        default_factory=lambda: CleaveSpec(), description="Training method; without a `recipe`: cleave."
    )
    epochs: int = Field(200, ge=1, le=2000, description="Passes over the training images.")
    batch_size: int = Field(128, ge=2, le=8192, description="Images per step.")
    learning_rate: float = Field(0.05, gt=0, le=10, description="At the start; a cosine takes it to 0.")
    momentum: float = Field(0.9, ge=0, lt=1, description="Nesterov momentum; 0 = none.")
    weight_decay: float = Field(0.0, ge=0, le=1, description="L2 penalty of the optimiser.")
    augment: bool = Field(True, description="Apply the dataset's training augmentation, where it has one.")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Of the weights, the batches and the augmentation.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: the worker's GPU, if any.")
    deterministic: bool = Field(True, description="Same bits on the same machine; a little slower on a GPU.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="Of products; weights and losses are float32. auto = bfloat16 on GPUs that have it.",
    )
    gradient_accumulation: int = Field(
        1,
        ge=1,
        le=256,
        description="Micro-batches per step, to save memory; BatchNorm and modularity losses see one.",
    )
    early_stop_patience: int | None = Field(
        None,
        ge=1,
        le=2000,
        description="End after this many epochs without better validation accuracy and keep the best epoch.",
    )
    max_train_samples: int | None = Field(
        None, ge=10, le=10_000_000, description="Train on the first N images of the fixed order."
    )
    checkpoint_interval_s: float = Field(
        30.0, ge=0, le=3600, description="Seconds between checkpoints; 0 = every step."
    )
    teacher_model_id: Identifier | None = Field(
        None, description="Learn from this trained model of the same dataset too, by distillation."
    )
    distillation_weight: float = Field(
        _DISTILLATION_WEIGHT, gt=0, le=1, description="Share of the teacher in the task loss."
    )

    @model_validator(mode="after")
    def _weight_has_a_teacher(self) -> "TrainSpec":
        if self.teacher_model_id is None and self.distillation_weight != _DISTILLATION_WEIGHT:
            raise ValueError("distillation_weight needs a teacher_model_id")
        return self

    @model_validator(mode="after")
    def _micro_batches_fit(self) -> "TrainSpec":
        if self.batch_size < 2 * self.gradient_accumulation:
            raise ValueError("batch_size must be at least twice gradient_accumulation")
        return self

    @model_validator(mode="after")
    def _image_fits(self) -> "TrainSpec":
        info, (_, height, width) = ARCHITECTURES.get(self.architecture), DATASETS[self.dataset].input_shape
        if info is None:  # another package's network: the worker asks it
            return self
        if not (info.min_size <= min(height, width) and max(height, width) <= info.max_size):
            message = (
                f"{info.name} takes images of {info.min_size} to {info.max_size} pixels; "
                f"{self.dataset} has {height}x{width}"
            )
            raise ValueError(message)
        return self


class ExtractSpec(JobOptions):
    """Extract one module per entry of `classes` from a trained model."""

    kind: Literal["extract"] = "extract"
    model_id: Identifier = Field(description="A trained model.")
    classes: list[list[ClassName]] | None = Field(
        None,
        min_length=1,
        max_length=1000,
        description="Class names per module; null = one module for each class.",
    )
    form: ModuleForm | None = Field(None, description=_FORM)
    fold_amplitudes: bool = Field(
        True,
        description="static only: scale each unit by its mean mask value over the module's classes.",
    )
    threshold: float = Field(
        0.9, gt=0, le=1, description="A unit belongs to a class that fires it at least this often."
    )
    formats: Formats = Field(default_factory=lambda: list(ALL_FORMATS), description=_FORMATS)
    evaluate: bool = Field(True, description="Measure each module on validation and test data.")

    @field_validator("classes")
    @classmethod
    def _sensible_classes(cls, value: list[list[str]] | None) -> list[list[str]] | None:
        for names in value or []:
            _require_distinct(names)
        return value


class ComposeSpec(JobOptions):
    """Compose modules of one model into one classifier (their union). Ask by classes, by modules, or both."""

    kind: Literal["compose"] = "compose"
    classes: list[ClassName] | None = Field(
        None, min_length=1, max_length=1000, description="Classes wanted, in the order of the outputs."
    )
    module_ids: list[Identifier] | None = Field(
        None, min_length=1, max_length=1000, description="Null = best for each class."
    )
    model_id: Identifier | None = Field(
        None, description="Null = the model whose modules know the classes best."
    )
    strategy: Literal["union"] = "union"
    form: ModuleForm | None = Field(None, description=_FORM)
    fold_amplitudes: bool = Field(True, description="static only: scale each unit by its mean mask value.")
    formats: Formats = Field(default_factory=lambda: list(ALL_FORMATS), description=_FORMATS)
    evaluate: bool = Field(True, description="Measure the composition on validation and test data.")
    composition_id: Identifier | None = Field(None, description="Set by the service; ignored in requests.")

    @model_validator(mode="after")
    def _names_something(self) -> "ComposeSpec":
        if self.classes is None and self.module_ids is None:
            raise ValueError("give classes, module_ids, or both")
        for names in (self.classes, self.module_ids):
            _require_distinct(names or ["-"])
        return self


class EvaluateSpec(JobOptions):
    """Measure a model, module or composition on a split of its dataset."""

    kind: Literal["evaluate"] = "evaluate"
    target_id: Identifier = Field(description="mdl_..., mod_... or cmp_...")
    split: Split = Field("validation", description="Test data is for reporting only: select by validation.")
    classes: list[ClassName] | None = Field(
        None,
        min_length=1,
        max_length=1000,
        description="Restrict data and outputs to these classes; null = all it knows.",
    )

    @field_validator("classes")
    @classmethod
    def _sensible_classes(cls, value: list[str] | None) -> list[str] | None:
        _require_distinct(value or ["-"])
        return value


JobSpec = Annotated[TrainSpec | ExtractSpec | ComposeSpec | EvaluateSpec, Field(discriminator="kind")]
_ADAPTER: TypeAdapter[TrainSpec | ExtractSpec | ComposeSpec | EvaluateSpec] = TypeAdapter(JobSpec)


def _require_distinct(names: list[str]) -> None:
    if not names or len(set(names)) != len(names):
        raise ValueError("a list of classes must not be empty or name a class twice")


def parse_job_spec(data: dict[str, Any]) -> TrainSpec | ExtractSpec | ComposeSpec | EvaluateSpec:
    """The stored or received JSON form as a spec. Raises pydantic.ValidationError."""
    return _ADAPTER.validate_python(data)


def spec_digest(spec: JobOptions) -> str:
    """sha256 hex of what determines the result (JobOptions' own fields excluded)."""
    content = spec.model_dump(mode="json", exclude=set(JobOptions.model_fields))
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
