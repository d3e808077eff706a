"""What can be asked of a trained model: modules, compositions, measurements (pydantic, torch-free)."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from core.job_options import Identifier, JobOptions, Reference
from core.train_specs import Dataset

Split = Literal["validation", "test"]
ModuleForm = Literal["static", "gated"]
# static: as published. A gated module computes what the full model does while it keeps whatever fires: at 0.9
# single images lose a neuron they need (docs/method.md has the figures).
DEFAULT_THRESHOLDS: dict[ModuleForm, float] = {"static": 0.9, "gated": 0.01}
ArtifactFormat = Literal["safetensors", "pt2", "onnx"]
ALL_FORMATS: tuple[ArtifactFormat, ...] = ("safetensors", "pt2", "onnx")
_FORMATS = (
    "Files to offer; safetensors (with its recipe) is always among them. onnx needs optional packages on the "
    "worker."
)
_FORM = "gated keeps the sliced mask generators, static drops them; null = gated where the model has any."
ClassName = Annotated[str, Field(min_length=1, max_length=200)]


def _with_weights(formats: list[ArtifactFormat]) -> list[ArtifactFormat]:
    """One spelling for every equal request: the weights are needed for whatever comes later."""
    return [name for name in ALL_FORMATS if name == "safetensors" or name in formats]


Formats = Annotated[list[ArtifactFormat], Field(max_length=3), AfterValidator(_with_weights)]


def _usual_formats() -> list[ArtifactFormat]:
    return ["safetensors", "pt2"]


class ExtractSpec(JobOptions):
    """Extract one module per entry of `classes` from a trained model."""

    kind: Literal["extract"] = "extract"
    model_id: Reference = Field(description="A trained model: its id, or `name@alias`.")
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
    threshold: float | None = Field(
        None,
        gt=0,
        le=1,
        description="A neuron belongs to a class that fires it at least this often; "
        f"null = {DEFAULT_THRESHOLDS['gated']} for gated modules, {DEFAULT_THRESHOLDS['static']} for static.",
    )
    formats: Formats = Field(default_factory=_usual_formats, description=_FORMATS)
    evaluate: bool = Field(True, description="Measure each module on validation and test data.")

    @field_validator("classes")
    @classmethod
    def _sensible_classes(cls, value: list[list[str]] | None) -> list[list[str]] | None:
        for names in value or []:
            _require_distinct(names)
        return value


class SweepSpec(JobOptions):
    """Tell, without data, what the one-class modules of a model would be at other thresholds."""

    kind: Literal["sweep"] = "sweep"
    model_id: Reference = Field(description="A trained model: its id, or `name@alias`.")
    thresholds: list[Annotated[float, Field(gt=0, le=1)]] = Field(
        min_length=1, max_length=20, description="Each as `threshold` of an extraction."
    )
    form: ModuleForm | None = Field(None, description=_FORM)

    @field_validator("thresholds")
    @classmethod
    def _each_once(cls, value: list[float]) -> list[float]:
        return sorted(set(value))


class ComposeSpec(JobOptions):
    """Compose modules of one model into one classifier (their union). Ask by classes, by modules, or both."""

    kind: Literal["compose"] = "compose"
    classes: list[ClassName] | None = Field(
        None, min_length=1, max_length=1000, description="Classes wanted, in the order of the outputs."
    )
    module_ids: list[Identifier] | None = Field(
        None, min_length=1, max_length=1000, description="Null = best for each class."
    )
    model_id: Reference | None = Field(
        None, description="An id, or `name@alias`. Null = the model whose modules know the classes best."
    )
    strategy: Literal["union"] = "union"
    form: ModuleForm | None = Field(None, description=_FORM)
    fold_amplitudes: bool = Field(True, description="static only: scale each unit by its mean mask value.")
    formats: Formats = Field(default_factory=_usual_formats, description=_FORMATS)
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
    """Measure a model, module or composition on a split of its dataset, or of another one."""

    kind: Literal["evaluate"] = "evaluate"
    target_id: Reference = Field(description="mdl_..., mod_... or cmp_..., or `name@alias` of a model.")
    dataset: Dataset | None = Field(
        None,
        description="Built-in dataset by name, or uploaded one by id (ds_...), whose classes are found by "
        "their names. Null = the one that the model is of.",
    )
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


def _require_distinct(names: list[str]) -> None:
    if not names or len(set(names)) != len(names):
        raise ValueError("a list of classes must not be empty or name a class twice")
