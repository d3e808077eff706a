"""The request that made a job: what is logged and traced about the job, anywhere, leads back to it."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session
from structlog.contextvars import get_contextvars

from service.jobs.tables import Job
from service.platform import tracing


@dataclass(frozen=True)
class Origin:
    """`traceparent`: the request's span, by W3C Trace Context; None where nothing was traced."""

    job_id: str
    request_id: str | None
    traceparent: str | None

    @classmethod
    def of(cls, job: Job) -> "Origin":
        return cls(job.id, job.request_id, job.traceparent)

    def log_fields(self, **more: str | int) -> dict[str, str | int]:
        """What every line about the job carries."""
        asked = {} if self.request_id is None else {"request_id": self.request_id}
        return {"job_id": self.job_id, **asked, **more}


def here() -> dict[str, str | None]:
    """The columns of a job that is made now."""
    return {"request_id": get_contextvars().get("request_id"), "traceparent": tracing.traceparent()}


def find(session: Session, job_id: str) -> Origin:
    """Of a job of any tenant; one that is gone has none."""
    row = session.execute(select(Job.request_id, Job.traceparent).where(Job.id == job_id)).first()
    return Origin(job_id, *(row or (None, None)))
