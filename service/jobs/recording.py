"""What a running attempt tells about itself: progress, figures, checkpoints, log lines.

Every write carries the lease.
"""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.orm import Session

from core.reports import CheckpointReport, LogReport
from core.results import MetricValue
from service.jobs.states import ACTIVE
from service.jobs.tables import Checkpoint, JobAttempt
from service.jobs.transitions import Lease, LeaseLost, change
from service.models.tables import Metric


@dataclass
class Notes:
    """Reports gathered since the last write, in the form they are written in."""

    progress: dict[str, Any] | None = None
    metrics: list[MetricValue] = field(default_factory=list)
    checkpoints: list[CheckpointReport] = field(default_factory=list)
    logs: list[LogReport] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.progress or self.metrics or self.checkpoints or self.logs)

    def events(self) -> list[tuple[str, dict[str, Any]]]:
        """The events these notes become, in the order they are told."""
        events: list[tuple[str, dict[str, Any]]] = []
        events += [("job.log", {"level": log.level, "message": log.message}) for log in self.logs]
        if self.metrics:
            figures = [metric.model_dump(mode="json", exclude_none=True) for metric in self.metrics]
            events.append(("job.metric", {"metrics": figures}))
        for point in self.checkpoints:
            data = {"path": point.path, "epoch": point.epoch, "step": point.step, "metrics": point.metrics}
            events.append(("job.checkpoint", data))
        if self.progress:
            events.append(("job.progress", self.progress))
        return events


def record(session: Session, lease: Lease, attempt: int, notes: Notes) -> None:
    """Write the notes and their events. Raises LeaseLost, and writes nothing, when the job is not ours."""
    values: dict[str, Any] = {"progress": notes.progress} if notes.progress else {}
    job = change(session, lease.job_id, values, events=notes.events(), sources=ACTIVE, lease=lease)
    if job is None:
        raise LeaseLost(lease.job_id)
    for metric in notes.metrics:
        session.add(Metric(tenant_id=job.tenant_id, job_id=job.id, **metric.model_dump()))
    best = [point for point in notes.checkpoints if point.best][-1:]
    if best:
        _forget_best(session, job.id)
    for point in notes.checkpoints:
        content = {**point.model_dump(exclude={"type"}), "best": point in best, "tenant_id": job.tenant_id}
        session.merge(Checkpoint(job_id=job.id, attempt=attempt, **content))


def record_start(
    session: Session, lease: Lease, attempt: int, point: Checkpoint | None, spec_sha256: str
) -> None:
    """Note which checkpoint the attempt starts from; drop what it will report again, or has no use for.

    Raises LeaseLost.
    """
    path = None if point is None else point.path
    events = [("job.attempt", {"attempt": attempt, "outcome": None, "resumed_from": path})]
    if change(session, lease.job_id, {}, events=events, sources=ACTIVE, lease=lease) is None:
        raise LeaseLost(lease.job_id)
    session.execute(
        update(JobAttempt)
        .where(JobAttempt.job_id == lease.job_id, JobAttempt.attempt == attempt)
        .values(resumed_from=path)
        .execution_options(synchronize_session=False)
    )
    # Epochs completed after the checkpoint are trained and reported again, with the same figures.
    # At 0 is what was measured before the first step.
    epoch = -1 if point is None else point.epoch
    session.execute(delete(Metric).where(Metric.job_id == lease.job_id, Metric.epoch > epoch))
    _forget_best(session, lease.job_id, Checkpoint.epoch > epoch)
    other = Checkpoint.spec_sha256 != spec_sha256
    session.execute(delete(Checkpoint).where(Checkpoint.job_id == lease.job_id, other))


def _forget_best(session: Session, job_id: str, *conditions: ColumnElement[bool]) -> None:
    session.execute(
        update(Checkpoint)
        .where(Checkpoint.job_id == job_id, Checkpoint.best, *conditions)
        .values(best=False)
        .execution_options(synchronize_session="fetch")
    )


def checkpoints_newest_first(session: Session, job_id: str) -> list[Checkpoint]:
    """Checkpoints by training position, the furthest first."""
    rows = select(Checkpoint).where(Checkpoint.job_id == job_id)
    return list(session.scalars(rows.order_by(Checkpoint.epoch.desc(), Checkpoint.step.desc())))
