"""What a job results in (pydantic, torch-free). Paths are relative to the staging folder."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from core.catalog import DatasetInfo
from core.specs import ModuleForm


class Sealed(BaseModel):
    """Immutable, of just these fields, and the same after a way through JSON."""

    # JSON knows neither NaN nor infinity: written as null they would end the reader instead of the writer.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FileRef(Sealed):
    """A file the runner wrote; it becomes an immutable artifact when the job succeeds."""

    role: Literal["weights", "recipe", "statistics", "program", "onnx", "images", "labels", "dataset"]
    path: str = Field(description="Relative to the staging folder.")
    filename: str = Field(description="The name a download is offered under.")
    media_type: str


class MetricValue(Sealed):
    """One measured figure. `split` says which data it was measured on; null where no data is involved."""

    name: str
    value: float
    split: Literal["train", "validation", "test"] | None = None
    class_name: str | None = None
    epoch: int | None = None


class InitialReport(Sealed):
    """What a training took over from the model it started from; mask generators always start fresh."""

    model_id: str
    weights_sha256: str = Field(description="Of the model's file.")
    taken: int = Field(description="Tensors, by name and shape.")
    head: Literal["taken", "new"] = Field(description="taken: each output by its class's name.")
    new: list[str] = Field(description="The network's other tensors, which start fresh.")
    left: int = Field(description="Tensors that only the model has, mask generators among them.")
    same_normalisation: bool = Field(description="Whether the model takes images normalised like these.")


class TrainResult(Sealed):
    kind: Literal["train"] = "train"
    architecture: str
    approach: str
    recipe: str
    dataset: str
    dataset_digest: str
    classes: list[str]
    input_shape: list[int]
    parameters: int
    flops: int = Field(description="Multiply-accumulate operations for one image.")
    seed: int
    units: dict[str, int] = Field(description="Unit name -> neurons.")
    versions: dict[str, str]
    metrics: list[MetricValue]
    files: list[FileRef]
    initial: InitialReport | None = None


class ModuleResult(Sealed):
    classes: list[str]
    form: ModuleForm
    fold_amplitudes: bool
    threshold: float | None = Field(description="Null for compositions, whose members bring their masks.")
    mask_digest: str = Field(description="sha256 over the mask's units and bits.")
    retention_rate: float = Field(description="Kept neurons / neurons of all masked layers.")
    parameters: int
    parameter_rate: float = Field(
        description="Parameters / parameters of the standard network (no generators)."
    )
    flops: int
    flops_rate: float = Field(description="FLOPs / FLOPs of the standard network.")
    notes: list[str] = Field(
        default_factory=list, description="Pinned channels, lowered thresholds, and why."
    )
    metrics: list[MetricValue]
    files: list[FileRef]


class ExtractResult(Sealed):
    kind: Literal["extract"] = "extract"
    model_id: str
    modules: list[ModuleResult]
    metrics: list[MetricValue] = Field(default_factory=list, description="Cohesion and coupling of the set.")
    versions: dict[str, str] = Field(default_factory=dict, description="Of the code that made them.")


class ComposeResult(Sealed):
    kind: Literal["compose"] = "compose"
    composition_id: str
    module: ModuleResult
    versions: dict[str, str] = Field(default_factory=dict, description="Of the code that made it.")


class EvaluateResult(Sealed):
    kind: Literal["evaluate"] = "evaluate"
    target_id: str
    metrics: list[MetricValue]
    dataset: str | None = Field(None, description="What it was measured on, where the job named it.")
    dataset_digest: str | None = None
    images_left_out: dict[str, int] = Field(
        default_factory=dict, description="Class that the model does not know -> images not counted."
    )
    classes_without_images: list[str] = Field(
        default_factory=list, description="Asked of the network, but not in the data."
    )


class SweptModule(Sealed):
    """The module of one class as it would be; sizes and rates as of a module."""

    class_name: str
    retention_rate: float
    parameters: int
    parameter_rate: float
    flops: int
    flops_rate: float
    f1_validation: float | None = Field(
        None, description="Of a module extracted at this threshold and in this form, where it is measured."
    )


class SweepPoint(Sealed):
    """What one threshold gives. `coupling`: mean overlap (Jaccard) of two modules; null for one class."""

    threshold: float
    coupling: float | None
    modules: list[SweptModule]


class SweepResult(Sealed):
    kind: Literal["sweep"] = "sweep"
    model_id: str
    form: ModuleForm
    points: list[SweepPoint]


class CorruptFile(Sealed):
    """An image that was left out, and why."""

    name: str
    reason: str


class ImportReport(Sealed):
    """What was found in an uploaded file."""

    format: str
    samples: int = Field(description="Images kept.")
    per_class: dict[str, dict[str, int]] = Field(description="Class -> images in train, validation, test.")
    sizes: dict[str, int] = Field(description="`WIDTHxHEIGHT` as uploaded -> images; the most frequent.")
    pixels: dict[str, int] = Field(description="Kind of pixel (RGB, L, uint8, float32) -> images.")
    splits: Literal["given", "seeded", "completed"] = Field(
        description="given: by the file. seeded: held out by the seed. completed: what the file lacked."
    )
    balance: float = Field(description="Images of the largest class / of the smallest.")
    duplicates: int = Field(description="Images equal to an earlier one, pixel by pixel.")
    duplicates_across_splits: int = Field(description="Those whose equal is in another split.")
    corrupt: int = Field(description="Images left out because they cannot be read.")
    corrupt_files: list[CorruptFile] = Field(description="The first of them.")
    ignored: int = Field(description="Files that are no images.")
    warnings: list[str]


class ImportResult(Sealed):
    kind: Literal["import"] = "import"
    dataset_id: str
    digest: str = Field(description="sha256 over images, labels and splits.")
    info: DatasetInfo
    report: ImportReport
    files: list[FileRef]


class WeightsReport(Sealed):
    """How an uploaded file of weights was read."""

    tensors: int
    dtypes: dict[str, int] = Field(description="Type as stored -> tensors.")
    stripped_prefix: str = Field(description="What stood before every name; empty for nothing.")
    notes: list[str]


class ImportModelResult(Sealed):
    kind: Literal["import_model"] = "import_model"
    architecture: str
    dataset: str | None
    dataset_digest: str | None
    classes: list[str]
    input_shape: list[int]
    parameters: int
    flops: int = Field(description="Multiply-accumulate operations for one image.")
    units: dict[str, int] = Field(description="Unit name -> neurons.")
    versions: dict[str, str]
    report: WeightsReport
    files: list[FileRef]


JobResult = Annotated[
    TrainResult
    | ExtractResult
    | ComposeResult
    | EvaluateResult
    | SweepResult
    | ImportResult
    | ImportModelResult,
    Field(discriminator="kind"),
]
