"""Jobs that nobody started in time. What has run once never expires: its claim clears `expires_at`."""

from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from service.jobs.states import JobState
from service.jobs.tables import Job
from service.jobs.transitions import move
from service.platform.clock import db_now

# Only what never started has a time (a CHECK says so), and a check under way ends first. Asked for the
# states that remain, SQLite would walk all jobs that wait.
_OVERDUE = (Job.expires_at <= db_now(), Job.state != JobState.VALIDATING.value)


def outdated(session: Session) -> list[str]:
    """Jobs whose time is over, the longest overdue first."""
    rows = select(Job.id).where(*_OVERDUE).order_by(Job.expires_at)
    return list(session.scalars(rows))


def expire(session: Session, job_id: str) -> None:
    """End the job, unless it was started since it was listed."""
    # Locks the row, so that the condition still holds when the state changes.
    job = session.scalar(
        update(Job).where(Job.id == job_id, *_OVERDUE).values(version=Job.version + 1).returning(Job),
        execution_options={"populate_existing": True, "synchronize_session": False},
    )
    if job is not None:
        limit = job.spec.get("expires_after_s")
        error: dict[str, Any] = {
            "code": "expired",
            "cause": "timeout",
            "message": f"The job was not started within its expires_after_s of {limit} s.",
            "retryable": True,
            "attempt": job.attempt,
        }
        move(session, job.id, JobState.EXPIRED, error=error)
