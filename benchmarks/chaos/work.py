"""The work: families of a training, an extraction and a composition, and what the database says of them."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from service.artifacts.tables import Artifact, ArtifactLink
from service.client import CleaveClient
from service.client.errors import CleaveError
from service.jobs.states import ACTIVE, TERMINAL
from service.jobs.tables import Checkpoint, Job, OutboxMessage, Worker
from service.platform.database import Database

KINDS = ("train", "extract", "compose")
# A few seconds of training each, with a checkpoint at almost every moment.
RECIPES = ("nemo", "mwt", "cleave")


@dataclass
class JobView:
    """One job as the database told it last."""

    job_id: str
    kind: str
    state: str
    attempt: int
    owner: str | None
    hinted: bool
    checkpoints: int  # of this attempt
    model_id: str | None

    @property
    def over(self) -> bool:
        return self.state in TERMINAL

    @property
    def active(self) -> bool:
        return self.state in ACTIVE


@dataclass
class Snapshot:
    """All jobs, and the process of each worker."""

    jobs: dict[str, JobView] = field(default_factory=dict)
    pids: dict[str, int] = field(default_factory=dict)

    def running_on(self, pids: list[int]) -> list[JobView]:
        return [job for job in self.jobs.values() if job.active and self.pids.get(job.owner or "") in pids]


def look(database: Database) -> Snapshot | None:
    """None while the database is away."""
    try:
        with database.read() as session:
            hinted = set(session.scalars(select(OutboxMessage.job_id)))
            points = [(c.job_id, c.attempt) for c in session.scalars(select(Checkpoint))]
            jobs = {
                job.id: JobView(
                    job.id, job.kind, job.state, job.attempt, job.lease_owner, job.id in hinted,
                    points.count((job.id, job.attempt)), (job.result or {}).get("model_id"),
                )
                for job in session.scalars(select(Job))
            }  # fmt: skip
            # Of a process whose child was replaced, the newest is the one that lives.
            workers = session.scalars(select(Worker).order_by(Worker.started_at))
            newest = {worker.pid: worker.id for worker in workers}
            return Snapshot(jobs, {owner: pid for pid, owner in newest.items()})
    except SQLAlchemyError:
        return None


@dataclass
class Family:
    """Three jobs, each submitted when the one before has succeeded, under a key of its own until accepted."""

    number: int
    recipe: str
    epochs: int
    job_ids: list[str] = field(default_factory=list)

    def advance(self, client: CleaveClient, now: Snapshot, wanted: int) -> None:
        """Submit what is due; what does not get through is asked again, with the same key."""
        if len(self.job_ids) >= wanted or any(not self._succeeded(now, job_id) for job_id in self.job_ids):
            return
        kind = KINDS[len(self.job_ids)]
        with suppress(CleaveError):
            job = client.jobs.create(self._spec(now, kind), idempotency_key=f"{self.number}-{kind}")
            self.job_ids.append(job.id)

    def _succeeded(self, now: Snapshot, job_id: str) -> bool:
        return job_id in now.jobs and now.jobs[job_id].state == "succeeded"

    def _spec(self, now: Snapshot, kind: str) -> Mapping[str, Any]:
        if kind == "train":
            return training(self.recipe, self.epochs)
        model_id = now.jobs[self.job_ids[0]].model_id
        spec: dict[str, Any] = {"kind": kind, "model_id": model_id, "evaluate": False}
        if kind == "extract":
            return {**spec, "formats": ["safetensors"]}
        return {**spec, "classes": ["3", "5", "8"], "formats": ["safetensors"]}


def training(recipe: str, epochs: int) -> dict[str, Any]:
    approach = {"name": "nemo"} if recipe == "cleave" else {"name": recipe, "recipe": "published"}
    return {
        "kind": "train", "architecture": "small_cnn", "dataset": "digits", "approach": approach,
        "epochs": epochs, "batch_size": 32, "max_train_samples": 256, "device": "cpu", "deterministic": True,
        "checkpoint_interval_s": 0.2,
    }  # fmt: skip


def weights_of(database: Database, job_id: str) -> list[str]:
    """The digests of the weights that a job published, sorted."""
    with database.read() as session:
        rows = (
            select(Artifact.sha256)
            .join(ArtifactLink, ArtifactLink.artifact_id == Artifact.id)
            .where(Artifact.job_id == job_id, ArtifactLink.role == "weights")
        )
        return sorted(session.scalars(rows))
