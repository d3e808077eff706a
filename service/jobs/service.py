"""What can be done with jobs. The caller's session decides when it becomes true, and whose jobs are seen."""

from collections.abc import Collection
from typing import Any

from pydantic import ValidationError
from sqlalchemy.orm import Session

from core.specs import AnySpec, parse_job_spec, spec_digest
from service.jobs import origin, repository
from service.jobs.quotas import require_room
from service.jobs.states import TERMINAL, JobState
from service.jobs.tables import Job, JobEvent
from service.jobs.transitions import hint, move, tell
from service.jobs.validation import needs_check
from service.platform.clock import db_now
from service.platform.errors import AlreadyTerminalError, ConflictError, InvalidRequestError, NotFoundError
from service.platform.ids import new_id

# A check has made nothing yet: its lease is simply taken away.
_ENDED_AT_ONCE = frozenset({JobState.PENDING, JobState.VALIDATING, JobState.QUEUED, JobState.INTERRUPTED})


def enqueue(session: Session, tenant_id: str, spec: AnySpec) -> Job:
    """Job, first event and the hint to publish it, in the caller's transaction.

    Queued, or pending until a worker has checked what only the engine can. Raises QueueFullError.
    """
    require_room(session, tenant_id)
    state = JobState.PENDING if needs_check(spec) else JobState.QUEUED
    queued_at: Any = db_now() if state is JobState.QUEUED else None
    job = Job(
        id=new_id("job"),
        tenant_id=tenant_id,
        kind=spec.kind,
        state=state.value,
        queued_at=queued_at,
        spec=spec.model_dump(mode="json"),
        spec_sha256=spec_digest(spec),
        priority=spec.priority,
        event_seq=1,
        **origin.here(),
    )
    if spec.expires_after_s is not None:
        expires: Any = db_now() + spec.expires_after_s * 1000
        job.expires_at = expires
    session.add(job)
    session.flush()
    first = {"state": state.value}
    session.add(JobEvent(job_id=job.id, seq=1, tenant_id=tenant_id, type="job.state", data=first))
    tell(session, job, 1)
    hint(session, job)
    return job


def active_jobs_naming(session: Session, owner_id: str) -> list[str]:
    """Some jobs that have not ended and whose spec names this model, module or composition."""
    return repository.active_jobs_naming(session, owner_id)


def active_jobs_on_data(session: Session, dataset_id: str) -> list[str]:
    """Some jobs that have not ended and measure something on the dataset of its model, without naming it."""
    return repository.active_jobs_on_data(session, dataset_id)


def get(session: Session, job_id: str) -> Job:
    """Raises NotFoundError, also for another tenant's job."""
    job = repository.find(session, job_id)
    if job is None:
        raise NotFoundError.of("job", job_id)
    return job


def by_ids(session: Session, job_ids: Collection[str]) -> dict[str, Job]:
    return repository.by_ids(session, job_ids)


def unfinished(session: Session, job_id: str) -> Job:
    """The job, locked: no worker changes its state before this transaction has decided and ended.

    Raises NotFoundError, AlreadyTerminalError.
    """
    job = repository.find_locked(session, job_id)
    if job is None:
        raise NotFoundError.of("job", job_id)
    if job.state in TERMINAL:
        raise AlreadyTerminalError(f"The job is already {job.state}.")
    return job


def cancel(session: Session, job_id: str) -> tuple[Job, bool]:
    """Ask for the end of a job; the flag says whether this call was the first to ask.

    A waiting job is cancelled at once. A running one is asked to stop and writes a last checkpoint first.
    Raises NotFoundError, AlreadyTerminalError.
    """
    job = unfinished(session, job_id)
    if job.state == JobState.CANCELLING.value:
        return job, False
    asked: dict[str, Any] = {"cancel_requested_at": db_now()}
    if job.state in _ENDED_AT_ONCE:
        move(session, job_id, JobState.CANCELLED, **asked)
    else:
        move(session, job_id, JobState.CANCELLING, paused_at=None, **asked)
    return job, True


def ended(session: Session, job_id: str) -> Job:
    """The job, which is over, locked: of two who retry it at once the second sees what the first has made.

    Raises NotFoundError, ConflictError while it is not over.
    """
    job = repository.find_locked(session, job_id)
    if job is None:
        raise NotFoundError.of("job", job_id)
    if job.state not in TERMINAL:
        raise ConflictError(f"The job is {job.state}; only an ended job can be retried.")
    return job


def living_retry(session: Session, job: Job) -> Job | None:
    """What the last retry of the job made, unless it has ended too."""
    heir = None if job.retried_as is None else repository.find(session, job.retried_as)
    return None if heir is None or heir.state in TERMINAL else heir


def spec_of(job: Job) -> AnySpec:
    """To be submitted as a new one. Raises InvalidRequestError when an older version accepted it."""
    try:
        return parse_job_spec({k: v for k, v in job.spec.items() if k != "composition_id"})
    except ValidationError as error:
        raise InvalidRequestError("This version does not accept the job's spec; submit it anew.") from error
