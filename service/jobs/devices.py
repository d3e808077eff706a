"""Trainings that ask for a GPU by name, and workers told to use none: these leave those to others."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.jobs.states import JobState
from service.jobs.tables import Job, Worker

# Until a hint that came to the wrong worker goes out again: it may come back to the same.
PAUSE_S = 1.0
MAY_HAVE_GPU = Worker.device != "cpu"


def wants_gpu(job: Job) -> bool:
    """Whether it is a training that asks for a GPU, and not to be checked first."""
    return job.state == JobState.QUEUED.value and job.kind == "train" and job.spec.get("device") == "cuda"


def fits(session: Session, job: Job, owner: str) -> bool:
    """Whether this worker may start the job, or check it. One told nothing finds out when it computes."""
    if not wants_gpu(job):
        return True
    return session.scalar(select(Worker.device).where(Worker.id == owner)) != "cpu"
