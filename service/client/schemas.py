"""What the service answers, typed.

Fields this version does not know are kept (`model_extra`), so nothing is lost in `--json`.
"""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

FINISHED_STATES = frozenset({"succeeded", "failed", "cancelled", "expired"})


class Resource(BaseModel):
    """Base of every answer."""

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())


class Metric(Resource):
    """One measured figure; `split` says on which data, and `dataset` where it is not the model's own."""

    name: str
    value: float
    split: str | None = None
    class_name: str | None = None
    epoch: int | None = None
    dataset: str | None = None


class Artifact(Resource):
    """A file offered for download."""

    id: str
    filename: str
    size: int
    sha256: str
    media_type: str
    role: str | None = None
    url: str | None = None


class ManifestFile(Resource):
    """A file beside its manifest; `chunks_8mib` are the sha256 of each 8 MiB."""

    path: str
    role: str
    size: int
    sha256: str
    chunks_8mib: list[str]


class Manifest(Resource):
    """Everything on record about a model, module or composition, with the digests of its files."""

    id: str
    kind: str
    files: list[ManifestFile]
    classes: list[str]


class SignedLink(Resource):
    """A link that opens one artifact's content without an API key, until `expires_at`."""

    url: str
    expires_at: datetime


class _Measured(Resource):
    tags: list[str] = Field(default_factory=list)
    metadata: dict[str, str] = Field(default_factory=dict)
    metrics: list[Metric] = Field(default_factory=list)
    artifacts: list[Artifact] = Field(default_factory=list)

    def metric(
        self,
        name: str,
        split: str | None = None,
        class_name: str | None = None,
        dataset: str | None = None,
    ) -> float | None:
        """The newest figure of this name, split and class; None where it was not measured.

        dataset: None = the one that the model is of, or, where there is no figure on that, any.
        """
        found = [m for m in self.metrics if (m.name, m.split, m.class_name) == (name, split, class_name)]
        asked = [m for m in found if m.dataset == dataset]
        if not asked and dataset in (None, getattr(self, "dataset_id", None), getattr(self, "dataset", None)):
            asked = found if dataset is None else [m for m in found if m.dataset is None]
        return asked[-1].value if asked else None

    def artifact(self, role: str) -> Artifact:
        """The file in this role. Raises KeyError naming the roles there are."""
        for artifact in self.artifacts:
            if artifact.role == role:
                return artifact
        raise KeyError(f"no {role!r} among {sorted(a.role or a.filename for a in self.artifacts)}")


class JobProgress(Resource):
    phase: str | None = None
    step: int | None = None
    total: int | None = None
    percent: float | None = None
    eta_seconds: float | None = None
    epoch: int | None = None
    epochs: int | None = None


class JobError(Resource):
    code: str
    message: str
    cause: str | None = None
    retryable: bool = False
    attempt: int | None = None


class JobResult(Resource):
    model_id: str | None = None
    module_ids: list[str] = Field(default_factory=list)
    composition_id: str | None = None
    artifact_ids: list[str] = Field(default_factory=list)
    metrics: list[Metric] = Field(default_factory=list)


class Job(Resource):
    """A piece of long work."""

    id: str
    kind: str
    state: str
    paused: bool = False
    spec: dict[str, Any] = Field(default_factory=dict)
    progress: JobProgress = Field(default_factory=JobProgress)
    error: JobError | None = None
    result: JobResult | None = None
    attempt: int = 0
    created_at: datetime | None = None
    queued_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    expires_at: datetime | None = None

    @property
    def finished(self) -> bool:
        return self.state in FINISHED_STATES


class Event(Resource):
    """One thing that happened to a job; `seq` counts from 1. `stream.gap` stands for what is not kept."""

    seq: int
    type: str
    job_id: str
    ts: datetime | None = None
    data: dict[str, Any] = Field(default_factory=dict)


class Checkpoint(Resource):
    path: str
    epoch: int
    step: int
    best: bool = False


class Attempt(Resource):
    attempt: int
    worker_id: str = ""
    resumed_from: str | None = None
    outcome: str | None = None
    cause: str | None = None
    exit_code: int | None = None
    message: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


class Dataset(Resource):
    """What can be trained on: a built-in one by its name, an uploaded one by its id."""

    name: str
    id: str | None = None
    state: str = "ready"
    description: str = ""
    class_names: list[str] = Field(default_factory=list)
    input_shape: list[int] | None = None
    train: int = 0
    validation: int = 0
    test: int = 0
    available: bool | None = None


class WorkerCount(Resource):
    """Living workers of one queue with one kind of device: cpu, gpu or auto."""

    queue: str
    device: str
    idle: int
    busy: int
    draining: int


class Architecture(Resource):
    name: str
    description: str = ""
    min_size: int
    max_size: int


class ModelClass(Resource):
    name: str
    position: int | None = None


class Model(_Measured):
    """A trained network."""

    id: str
    architecture: str
    approach: str
    parameters: int
    dataset: str | None = None
    dataset_id: str | None = None
    name: str | None = None
    version: int | None = None
    aliases: list[str] = Field(default_factory=list)
    job_id: str | None = None
    initial_model_id: str | None = None
    flops: int | None = None
    input_shape: list[int] = Field(default_factory=list)
    classes: list[str] = Field(default_factory=list)
    created_at: datetime | None = None


class Module(_Measured):
    """The part of a model that knows one or more of its classes."""

    id: str
    model_id: str
    form: str
    classes: list[str] = Field(default_factory=list)
    fold_amplitudes: bool | None = None
    threshold: float | None = None
    retention_rate: float | None = None
    parameters: int | None = None
    parameter_rate: float | None = None
    flops: int | None = None
    flops_rate: float | None = None
    notes: list[str] = Field(default_factory=list)
    created_at: datetime | None = None

    def score(self, split: str) -> float | None:
        """F1 of a one-class module, accuracy among its classes of a larger one."""
        if len(self.classes) == 1:
            return self.metric("f1", split)
        return self.metric("accuracy", split)


class Composition(_Measured):
    """A classifier made of modules. Sizes are null until it is built."""

    id: str
    form: str
    ready: bool = False
    model_id: str | None = None
    job_id: str | None = None
    classes: list[str] = Field(default_factory=list)
    fold_amplitudes: bool | None = None
    retention_rate: float | None = None
    parameters: int | None = None
    parameter_rate: float | None = None
    flops: int | None = None
    flops_rate: float | None = None
    notes: list[str] = Field(default_factory=list)
    created_at: datetime | None = None


class CompositionRequest(Resource):
    """The composition, and the job that builds it (None when it exists already)."""

    composition: Composition
    job: Job | None = None


class ClassMatch(Resource):
    """A module that knows a class, and how well."""

    name: str
    module_id: str
    model_id: str
    validation_score: float | None = None
    module: Module


class Version(Resource):
    version: str
