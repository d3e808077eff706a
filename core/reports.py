"""What a runner reads and writes: its input, and its report stream (pydantic, torch-free).

A runner writes one `Report` per line (JSON) to its report pipe.
"""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from core.results import JobResult, MetricValue, Sealed


class Progress(Sealed):
    type: Literal["progress"] = "progress"
    phase: str
    step: int
    total: int
    epoch: int | None = None
    epochs: int | None = None


class MetricReport(Sealed):
    """Figures measured while the job runs (training curves)."""

    type: Literal["metrics"] = "metrics"
    metrics: list[MetricValue]


class LogReport(Sealed):
    type: Literal["log"] = "log"
    level: Literal["info", "warning"] = "info"
    message: str


class CheckpointReport(Sealed):
    """A complete checkpoint, renamed into place. `path` is relative to the job's checkpoint folder."""

    type: Literal["checkpoint"] = "checkpoint"
    path: str
    sha256: str
    spec_sha256: str = Field(description="Digest of the spec it belongs to; it fits no other.")
    epoch: int
    step: int
    best: bool = Field(False, description="At the end of the epoch with the best validation accuracy so far.")
    metrics: dict[str, float] = Field(default_factory=dict)


class ResultReport(Sealed):
    """The last report of a job that succeeded."""

    type: Literal["result"] = "result"
    result: JobResult


class FailureReport(Sealed):
    """The last report of a job that failed in a way the runner could name."""

    type: Literal["failure"] = "failure"
    code: str
    message: str
    cause: Literal["user", "infra", "oom", "internal"]


class StoppedReport(Sealed):
    """The last report after a request to stop: the checkpoint, if any, is already reported."""

    type: Literal["stopped"] = "stopped"


class CheckedReport(Sealed):
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


class RunnerInput(Sealed):
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
        "the target to evaluate, or of the teacher; of the model to start from `initial:weights` and "
        "`initial:recipe`); for compose also `module:<module id>`, that module's "
        "recipe. Of an uploaded dataset: `data:images`, `data:labels`, `data:dataset`; of an upload: "
        "`part:<number>`.",
    )
    data_root: str | None = None
    log_fields: dict[str, str | int] = Field(
        default_factory=dict, description="What each line that it logs carries."
    )
    traceparent: str | None = Field(None, description="The span that its own are part of (W3C).")
