"""Pausing and resuming. A paused job keeps its checkpoints and its place in the registry, and no worker.

`paused_at` is the owner's wish; the state follows at once while the job waits, and when the runner has
stopped while it runs (`transitions.release`). Whoever locks the row first wins: a job that ends before it has
stopped is over, and a cancellation beats both.
"""

from sqlalchemy.orm import Session

from service.jobs import service
from service.jobs.states import JobState
from service.jobs.tables import Job
from service.jobs.transitions import NO_LEASE, change, drop_hint, hint, move, queue_again
from service.platform.clock import db_now
from service.platform.errors import ConflictError


def pause(session: Session, job_id: str) -> tuple[Job, bool]:
    """Hold a job back; the flag says whether this call was the first to ask.

    Raises NotFoundError, AlreadyTerminalError, and ConflictError while it is being cancelled.
    """
    job = _stoppable(session, job_id)
    if job.paused_at is not None:
        return job, False
    if job.state in {JobState.RUNNING, JobState.PENDING}:
        asked = [("job.state", {"state": job.state, "paused": True})]
        change(session, job_id, {"paused_at": db_now()}, events=asked)
    else:
        move(session, job_id, JobState.PENDING, paused_at=db_now(), **NO_LEASE)
    drop_hint(session, job_id)
    return job, True


def resume(session: Session, job_id: str) -> tuple[Job, bool]:
    """Let a paused job go on; the flag says whether it was paused.

    A runner that was asked to stop already does so all the same; its job then is queued again at once.
    Raises NotFoundError, AlreadyTerminalError, and ConflictError while it is being cancelled.
    """
    job = _stoppable(session, job_id)
    if job.paused_at is None:
        return job, False
    if job.state == JobState.PENDING.value and job.queued_at is not None:
        queue_again(session, job_id)
        return job, True
    taken_back = [("job.state", {"state": job.state, "paused": False})]
    change(session, job_id, {"paused_at": None}, events=taken_back)
    if job.state == JobState.PENDING.value:  # its inputs are still to be checked
        hint(session, job)
    return job, True


def _stoppable(session: Session, job_id: str) -> Job:
    job = service.unfinished(session, job_id)
    if job.state == JobState.CANCELLING.value:
        raise ConflictError("The job is being cancelled.")
    return job
