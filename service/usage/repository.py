"""Sums over a tenant's rows of every table, each read from one index."""

from collections.abc import Callable

from sqlalchemy import BigInteger, ColumnElement, and_, case, func, or_, select, type_coerce
from sqlalchemy.orm import Session

from service.artifacts.tables import Artifact
from service.compositions.tables import Composition
from service.datasets.tables import Dataset
from service.jobs.states import JobState
from service.jobs.tables import Job, JobAttempt
from service.models.tables import Model
from service.modules.tables import Module
from service.platform.clock import db_now
from service.uploads.tables import Upload

_COUNTED: dict[str, Callable[[str], ColumnElement[bool]]] = {
    "models": lambda tenant_id: Model.tenant_id == tenant_id,
    "modules": lambda tenant_id: Module.tenant_id == tenant_id,
    "compositions": lambda tenant_id: Composition.tenant_id == tenant_id,
    "datasets": lambda tenant_id: and_(
        Dataset.tenant_id == tenant_id, Dataset.uploaded, Dataset.deleted_at.is_(None)
    ),
}


def now_ms(session: Session) -> int:
    """The database's clock, in milliseconds since 1970."""
    return round(session.scalars(select(db_now())).one().timestamp() * 1000)


def counts(session: Session, tenant_id: str) -> dict[str, int]:
    """How many there are of each noun."""
    return {
        name: session.scalar(select(func.count()).where(of(tenant_id))) or 0 for name, of in _COUNTED.items()
    }


def jobs_by_state(session: Session, tenant_id: str) -> dict[str, int]:
    """Those in which there are any."""
    # All the states by name: the index begins with them.
    rows = select(Job.state, func.count()).where(Job.state.in_(list(JobState)), Job.tenant_id == tenant_id)
    return dict(session.execute(rows.group_by(Job.state)).tuples().all())


def artifacts_by_role(session: Session, tenant_id: str) -> list[tuple[str, int, int]]:
    """(role, files, bytes)."""
    rows = select(Artifact.role, func.count(), func.sum(Artifact.size)).where(Artifact.tenant_id == tenant_id)
    return [(role, files, int(size)) for role, files, size in session.execute(rows.group_by(Artifact.role))]


def uploads(session: Session, tenant_id: str, reader: str | None = None) -> tuple[int, int]:
    """Files on their way in but those that the job `reader` reads, and the bytes announced for them."""
    rows = select(func.count(), func.coalesce(func.sum(Upload.size), 0)).where(Upload.tenant_id == tenant_id)
    if reader is not None:
        rows = rows.where(Upload.job_id.is_distinct_from(reader))
    files, size = session.execute(rows).one()
    return files, int(size)


def attempts_by_kind(
    session: Session, tenant_id: str, start_ms: int, end_ms: int, now: int
) -> list[tuple[str, int, int]]:
    """(kind of job, attempts that ran within the period, milliseconds of them that lie in it)."""
    started, ended = (type_coerce(c, BigInteger) for c in (JobAttempt.started_at, JobAttempt.finished_at))
    until = func.coalesce(ended, now)
    spent = case((until < end_ms, until), else_=end_ms) - case((started > start_ms, started), else_=start_ms)
    forward = case((spent > 0, spent), else_=0)  # a clock set back ends an attempt before it began
    rows = (
        select(Job.kind, func.count(), func.sum(forward))
        .join(Job, Job.id == JobAttempt.job_id)
        .where(
            JobAttempt.tenant_id == tenant_id,
            or_(ended > start_ms, ended.is_(None)),
            started < end_ms,
        )
        .group_by(Job.kind)
    )
    return [(kind, attempts, int(total)) for kind, attempts, total in session.execute(rows)]
