"""Jobs as callers see them."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Body, Path
from pydantic import BaseModel, ConfigDict, Field

from core.specs import ComposeSpec, EvaluateSpec, ExtractSpec, SweepSpec, TrainSpec
from service.jobs import examples
from service.jobs.states import TERMINAL, JobState
from service.jobs.tables import Job, JobAttempt, JobEvent

EventType = Literal[
    "job.state", "job.progress", "job.metric", "job.log", "job.checkpoint", "job.attempt", "job.done"
]

JobId = Annotated[str, Path(pattern=r"^job_[0-9a-z]+$", max_length=64)]
JobRequest = Annotated[
    TrainSpec | ExtractSpec | ComposeSpec | EvaluateSpec | SweepSpec,
    Body(
        discriminator="kind",
        openapi_examples={
            "train": {
                "summary": "Train a modular classifier",
                "value": {
                    "kind": "train",
                    "architecture": "small_cnn",
                    "dataset": "digits",
                    "approach": {"name": "nemo"},
                    "epochs": 60,
                    "metadata": {"team": "vision"},
                },
            },
            "extract": {
                "summary": "One module per class",
                "value": {"kind": "extract", "model_id": "mdl_0193a1"},
            },
            "compose": {
                "summary": "A classifier for three classes",
                "value": {"kind": "compose", "model_id": "mdl_0193a1", "classes": ["3", "5", "8"]},
            },
            "evaluate": {
                "summary": "Measure a module on validation data",
                "value": {"kind": "evaluate", "target_id": "mod_0193a1", "split": "validation"},
            },
            "sweep": {
                "summary": "What modules would be at other thresholds",
                "value": {"kind": "sweep", "model_id": "mdl_0193a1", "thresholds": [0.1, 0.5, 0.9]},
            },
        },
    ),
]


class _Row(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class ProgressRead(_Row):
    phase: str | None = None
    step: int | None = None
    total: int | None = None
    percent: float | None = Field(None, description="0 to 100, of the whole job.")
    eta_seconds: float | None = Field(None, description="Null until enough steps were seen.")
    epoch: int | None = None
    epochs: int | None = None


class JobErrorRead(_Row):
    code: str
    cause: str = Field(description="user, infra, stalled, oom, timeout or internal.")
    message: str
    retryable: bool
    attempt: int | None = None


class AttemptRead(_Row):
    """One try at the job by one worker."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.ATTEMPT]})

    attempt: int
    worker_id: str
    resumed_from: str | None = Field(description="The checkpoint it started from.")
    overrides: dict[str, Any] | None = Field(description="Fields of the spec that it computed differently.")
    outcome: str | None = Field(
        description="succeeded, failed, cancelled, interrupted or lost; null = running."
    )
    cause: str | None
    exit_code: int | None = Field(description="Negative: the signal that ended the runner.")
    message: str | None
    started_at: datetime
    finished_at: datetime | None


class JobRead(_Row):
    """A piece of long work."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.JOB]})

    id: str
    kind: str
    state: JobState
    paused: bool = Field(False, description="Held back by its owner: pending, or running until it stops.")
    progress: ProgressRead
    spec: dict[str, Any]
    spec_sha256: str
    priority: int
    metadata: dict[str, str]
    attempt: int
    error: JobErrorRead | None
    result: dict[str, Any] | None = Field(
        description="model_id, module_ids, composition_id, artifact_ids, points: what the kind makes."
    )
    created_at: datetime
    queued_at: datetime | None = Field(description="Null until a worker has checked the architecture.")
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None = Field(None, description="When it ends unless it is started before.")
    links: dict[str, str]

    @property
    def is_over(self) -> bool:
        return self.state in TERMINAL

    @classmethod
    def of(cls, job: Job) -> "JobRead":
        return cls.model_validate(_content(job))


class JobDetail(JobRead):
    """A job with its attempts."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.JOB_DETAIL]})

    attempts: list[AttemptRead]

    @classmethod
    def with_attempts(cls, job: Job, attempts: list[JobAttempt]) -> "JobDetail":
        return cls.model_validate({**_content(job), "attempts": attempts})


class EventRead(_Row):
    """One thing that happened; `seq` counts from 1 within the job without gaps, but for retention."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.EVENT]})

    seq: int
    type: EventType
    ts: datetime
    job_id: str
    data: dict[str, Any]

    @classmethod
    def of(cls, event: JobEvent) -> "EventRead":
        return cls.model_validate(
            {
                "seq": event.seq,
                "type": event.type,
                "ts": event.created_at,
                "job_id": event.job_id,
                "data": event.data,
            }
        )


class LogLine(_Row):
    """One line that the job wrote; `seq` is the number of its event."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.LOG_LINE]})

    seq: int
    ts: datetime
    level: Literal["info", "warning"]
    message: str

    @classmethod
    def of(cls, event: JobEvent) -> "LogLine":
        return cls(seq=event.seq, ts=event.created_at, **event.data)


class TicketRead(_Row):
    """A ticket for one event stream: good once, for a minute."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.TICKET]})

    ticket: str
    url: str = Field(description="Open it with EventSource, without an API key.")
    expires_at: datetime


class CurvePoint(_Row):
    """One figure measured while the job ran."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.CURVE_POINT]})

    name: str
    value: float
    split: str | None
    class_name: str | None
    epoch: int | None


class CheckpointRead(_Row):
    model_config = ConfigDict(json_schema_extra={"examples": [examples.CHECKPOINT]})

    path: str
    sha256: str
    attempt: int
    epoch: int
    step: int
    best: bool = Field(description="Of the epoch with the best validation accuracy; it stays on disk too.")
    metrics: dict[str, Any]
    created_at: datetime


def _content(job: Job) -> dict[str, Any]:
    columns = {column.key: getattr(job, column.key) for column in Job.__table__.columns}
    base = f"/v1/jobs/{job.id}"
    parts = ("events", "logs", "metrics", "attempts", "checkpoints", "cancel", "pause", "resume", "retry")
    links = {"self": base, "events_stream": f"{base}/events/stream"} | {p: f"{base}/{p}" for p in parts}
    if job.state == JobState.SUCCEEDED:
        # Short work ends before its steps are worth counting; what succeeded is done all the same.
        columns["progress"] = {**columns["progress"], "percent": 100.0, "eta_seconds": None}
    paused = job.paused_at is not None
    return {**columns, "paused": paused, "metadata": job.spec.get("metadata", {}), "links": links}
