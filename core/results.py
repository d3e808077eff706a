"""What the engine hands back: the runner's report stream and each job's result (pydantic, torch-free).

A runner writes one `Report` per line (JSON) to its report pipe. Paths are relative to the staging folder.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from core.catalog import DatasetInfo
from core.specs import ModuleForm


class _Frozen(BaseModel):
    # JSON knows neither NaN nor infinity: written as null they would end the reader instead of the writer.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FileRef(_Frozen):
    """A file the runner wrote; it becomes an immutable artifact when the job succeeds."""

    role: Literal["weights", "recipe", "statistics", "program", "onnx", "images", "labels", "dataset"]
    path: str = Field(description="Relative to the staging folder.")
    filename: str = Field(description="The name a download is offered under.")
    media_type: str


class MetricValue(_Frozen):
    """One measured figure. `split` says which data it was measured on; null where no data is involved."""

    name: str
    value: float
    split: Literal["train", "validation", "test"] | None = None
    class_name: str | None = None
    epoch: int | None = None


class Progress(_Frozen):
    type: Literal["progress"] = "progress"
    phase: str
    step: int
    total: int
    epoch: int | None = None
    epochs: int | None = None


class MetricReport(_Frozen):
    """Figures measured while the job runs (training curves)."""

    type: Literal["metrics"] = "metrics"
    metrics: list[MetricValue]


class LogReport(_Frozen):
    type: Literal["log"] = "log"
    level: Literal["info", "warning"] = "info"
    message: str


class CheckpointReport(_Frozen):
    """A complete checkpoint, renamed into place. `path` is relative to the job's checkpoint folder."""

    type: Literal["checkpoint"] = "checkpoint"
    path: str
    sha256: str
    spec_sha256: str = Field(description="Digest of the spec it belongs to; it fits no other.")
    epoch: int
    step: int
    best: bool = Field(False, description="At the end of the epoch with the best validation accuracy so far.")
    metrics: dict[str, float] = Field(default_factory=dict)


class TrainResult(_Frozen):
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


class ModuleResult(_Frozen):
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


class ExtractResult(_Frozen):
    kind: Literal["extract"] = "extract"
    model_id: str
    modules: list[ModuleResult]
    metrics: list[MetricValue] = Field(default_factory=list, description="Cohesion and coupling of the set.")
    versions: dict[str, str] = Field(default_factory=dict, description="Of the code that made them.")


class ComposeResult(_Frozen):
    kind: Literal["compose"] = "compose"
    composition_id: str
    module: ModuleResult
    versions: dict[str, str] = Field(default_factory=dict, description="Of the code that made it.")


class EvaluateResult(_Frozen):
    kind: Literal["evaluate"] = "evaluate"
    target_id: str
    metrics: list[MetricValue]


class SweptModule(_Frozen):
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


class SweepPoint(_Frozen):
    """What one threshold gives. `coupling`: mean overlap (Jaccard) of two modules; null for one class."""

    threshold: float
    coupling: float | None
    modules: list[SweptModule]


class SweepResult(_Frozen):
    kind: Literal["sweep"] = "sweep"
    model_id: str
    form: ModuleForm
    points: list[SweepPoint]


class CorruptFile(_Frozen):
    """An image that was left out, and why."""

    name: str
    reason: str


class ImportReport(_Frozen):
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


class ImportResult(_Frozen):
    kind: Literal["import"] = "import"
    dataset_id: str
    digest: str = Field(description="sha256 over images, labels and splits.")
    info: DatasetInfo
    report: ImportReport
    files: list[FileRef]


JobResult = Annotated[
    TrainResult | ExtractResult | ComposeResult | EvaluateResult | SweepResult | ImportResult,
    Field(discriminator="kind"),
]


class ResultReport(_Frozen):
    """The last report of a job that succeeded."""

    type: Literal["result"] = "result"
    result: JobResult


class FailureReport(_Frozen):
    """The last report of a job that failed in a way the runner could name."""

    type: Literal["failure"] = "failure"
    code: str
    message: str
    cause: Literal["user", "infra", "oom", "internal"]


class StoppedReport(_Frozen):
    """The last report after a request to stop: the checkpoint, if any, is already reported."""

    type: Literal["stopped"] = "stopped"


class CheckedReport(_Frozen):
    """The last report of a check that found nothing wrong."""

    type: Literal["checked"] = "checked"


Report = Annotated[
    Progress
    | MetricReport
    | LogReport
    | CheckpointReport
    | ResultReport
    | FailureReport
    | StoppedReport
    | CheckedReport,
    Field(discriminator="type"),
]
AnyReport = (
    Progress
    | MetricReport
    | LogReport
    | CheckpointReport
    | ResultReport
    | FailureReport
    | StoppedReport
    | CheckedReport
)
REPORT_ADAPTER: TypeAdapter[AnyReport] = TypeAdapter(Report)


class RunnerInput(_Frozen):
    """The one line of JSON a runner reads on its standard input for each job."""

    job_id: str
    attempt: int
    check_only: bool = Field(False, description="Look whether the job can be done; make nothing.")
    spec: dict[str, object] = Field(
        description="The stored job spec; parsed again by core.specs.parse_job_spec."
    )
    staging: str = Field(description="Absolute folder for this attempt's files.")
    checkpoints: str = Field(description="Absolute folder of the job's checkpoints, shared by its attempts.")
    resume: str | None = Field(None, description="Checkpoint to resume from, relative to `checkpoints`.")
    files: dict[str, str] = Field(
        default_factory=dict,
        description="Inputs by role, absolute, read-only: weights, recipe, statistics of the model (or of "
        "the target to evaluate, or of the teacher); for compose also `module:<module id>`, that module's "
        "recipe. Of an uploaded dataset: `data:images`, `data:labels`, `data:dataset`; of an upload: "
        "`part:<number>`.",
    )
    data_root: str | None = None
