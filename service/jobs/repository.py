"""Queries over jobs and their story."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Select, String, and_, cast, exists, func, or_, select
from sqlalchemy.orm import Session

from service.compositions.tables import Composition
from service.jobs.states import ACTIVE, TERMINAL, WAITING
from service.jobs.tables import Checkpoint, Job, JobAttempt, JobEvent
from service.models.tables import Metric, Model
from service.modules.tables import Module
from service.platform.among import among
from service.platform.pagination import Page, PageRequest, fetch_page


def find(session: Session, job_id: str) -> Job | None:
    return session.scalars(select(Job).where(Job.id == job_id)).one_or_none()


def by_ids(session: Session, job_ids: Collection[str]) -> dict[str, Job]:
    return {job.id: job for job in session.scalars(select(Job).where(among(Job.id, job_ids)))}


def find_locked(session: Session, job_id: str) -> Job | None:
    """The job as it is now, changed by nobody else until this transaction ends."""
    # Not FOR UPDATE: that would also hold up those who write rows that refer to the job.
    row = select(Job).where(Job.id == job_id).with_for_update(key_share=True)
    return session.scalars(row, execution_options={"populate_existing": True}).one_or_none()


def count_waiting(session: Session, tenant_id: str, limit: int) -> int:
    """The tenant's jobs that no worker has, counted up to the limit."""
    some = select(Job.id).where(Job.state.in_(list(WAITING)), Job.tenant_id == tenant_id).limit(limit)
    return session.scalar(select(func.count()).select_from(some.subquery())) or 0


def active_jobs_naming(session: Session, text: str, limit: int = 3) -> list[str]:
    """Jobs that have not ended and have this text anywhere in their spec."""
    named = cast(Job.spec, String).contains(text, autoescape=True)
    rows = select(Job.id).where(Job.state.not_in(list(TERMINAL)), named)
    return list(session.scalars(rows.limit(limit)))


def active_jobs_on_data(session: Session, dataset_id: str, limit: int = 3) -> list[str]:
    """Jobs that have not ended and read the images that a model is of: not those that name a dataset."""
    spec = Job.spec
    measuring = or_(
        spec["evaluate"].as_boolean(),  # extract, compose
        and_(Job.kind == "evaluate", spec["dataset"].as_string().is_(None)),
    )
    target = func.coalesce(spec["target_id"].as_string(), spec["model_id"].as_string())
    of_data = [
        exists().where(part.id == target, model_id == Model.id, Model.dataset_id == dataset_id)
        for part, model_id in (
            (Model, Model.id), (Module, Module.model_id), (Composition, Composition.model_id),
        )
    ]  # fmt: skip
    rows = select(Job.id).where(Job.state.not_in(list(TERMINAL)), measuring, or_(*of_data))
    return list(session.scalars(rows.limit(limit)))


def count_active(session: Session, tenant_id: str) -> int:
    """The tenant's jobs that a worker has."""
    active = select(func.count()).where(Job.state.in_(list(ACTIVE)), Job.tenant_id == tenant_id)
    return session.scalar(active) or 0


def page_of_jobs(
    session: Session, page: PageRequest, *, states: Sequence[str] = (), kind: str | None = None
) -> Page[Job]:
    """Newest first."""
    rows: Select[Any] = select(Job)
    if states:
        rows = rows.where(Job.state.in_(states))
    if kind is not None:
        rows = rows.where(Job.kind == kind)
    return fetch_page(session, rows, (Job.created_at, Job.id), page)


def attempts_of(session: Session, job_id: str) -> list[JobAttempt]:
    rows = select(JobAttempt).where(JobAttempt.job_id == job_id)
    return list(session.scalars(rows.order_by(JobAttempt.attempt)))


def checkpoints_of(session: Session, job_id: str) -> list[Checkpoint]:
    rows = select(Checkpoint).where(Checkpoint.job_id == job_id)
    return list(session.scalars(rows.order_by(Checkpoint.epoch, Checkpoint.step)))


def events_after(session: Session, job_id: str, seq: int, limit: int) -> list[JobEvent]:
    """Events with a larger number, in order."""
    rows = select(JobEvent).where(JobEvent.job_id == job_id, JobEvent.seq > seq)
    return list(session.scalars(rows.order_by(JobEvent.seq).limit(limit)))


def logs_after(session: Session, job_id: str, seq: int, levels: Sequence[str], limit: int) -> list[JobEvent]:
    """Log lines of these levels with a larger number, in order."""
    rows = select(JobEvent).where(
        JobEvent.job_id == job_id,
        JobEvent.seq > seq,
        JobEvent.type == "job.log",
        JobEvent.data["level"].as_string().in_(levels),
    )
    return list(session.scalars(rows.order_by(JobEvent.seq).limit(limit)))


def is_over(session: Session, job_id: str) -> bool:
    return session.scalar(select(Job.state).where(Job.id == job_id)) in TERMINAL


def curve_points(session: Session, job_id: str, name: str | None, page: PageRequest) -> Page[Metric]:
    """The figures a job reported while it ran, in the order they were measured."""
    rows: Select[Any] = select(Metric).where(Metric.job_id == job_id, Metric.owner_id.is_(None))
    if name is not None:
        rows = rows.where(Metric.name == name)
    # Negated: pages run downwards, curves upwards.
    return fetch_page(session, rows, (-Metric.id,), page)
