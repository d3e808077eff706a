"""Who may work on a job: claim, renew, lose. Time is the database's; a claim is one conditional UPDATE."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Row, func, or_, select, update
from sqlalchemy.orm import Session

from service.jobs import devices, quotas, repository, retries
from service.jobs.origin import Origin
from service.jobs.states import ACTIVE, JobState
from service.jobs.tables import Job, JobAttempt, OutboxMessage
from service.jobs.transitions import Lease, LeaseLost, await_check, change, drop_hint, hint, move, requeue
from service.platform.clock import db_now

StopWish = Literal["cancel", "pause"]
_BEFORE = {JobState.RUNNING: JobState.QUEUED.value, JobState.VALIDATING: JobState.PENDING.value}


@dataclass(frozen=True)
class Claim:
    """A job that is ours until the lease expires. `spec`: as this attempt is to compute it.

    `spent_s`: running time of all earlier attempts.
    """

    lease: Lease
    tenant_id: str
    kind: str
    attempt: int
    spec: dict[str, Any]
    spent_s: float
    origin: Origin

    @classmethod
    def of(cls, job: Job, spent_s: float = 0.0, overrides: dict[str, Any] | None = None) -> "Claim":
        """Of a job that was taken."""
        lease = Lease(job_id=job.id, token=job.lease_token, owner=str(job.lease_owner))
        spec = {**job.spec, **(overrides or {})}
        return cls(lease, job.tenant_id, job.kind, job.attempt, spec, spent_s, Origin.of(job))


@dataclass(frozen=True)
class AttemptEnd:
    """How an attempt ended, for its row and the job's event."""

    outcome: str  # succeeded, failed, cancelled, interrupted, lost
    cause: str | None = None  # user, infra, stalled, oom, timeout, internal
    exit_code: int | None = None
    message: str | None = None


def claim(
    session: Session, job_id: str, owner: str, ttl_s: float, queues: Collection[str] = ("train", "short")
) -> Claim | None:
    """Take a queued job; None when it is not there to be taken (a doubled or late hint).

    `queues`: those that the worker serves. A late hint to check a training must not start it.
    """
    served = [Job.kind == "train" if queue == "train" else Job.kind != "train" for queue in queues]
    begun: dict[str, Any] = {
        "attempt": Job.attempt + 1,
        "started_at": func.coalesce(Job.started_at, db_now()),
        "expires_at": None,
        "progress": {},
    }
    job = take(session, job_id, owner, ttl_s, JobState.RUNNING, or_(*served), **begun)
    if job is None:
        return None
    spent_s = _spent_s(session, job_id)
    data, overrides = {"attempt": job.attempt}, retries.overrides(session, job)
    holder = {"lease_token": job.lease_token, "worker_id": owner}
    session.add(JobAttempt(job_id=job.id, tenant_id=job.tenant_id, overrides=overrides, **holder, **data))
    told = {**data, "outcome": None, **({"overrides": overrides} if overrides else {})}
    state: dict[str, Any] = {"state": job.state, **data}
    change(session, job_id, {}, events=[("job.state", state), ("job.attempt", told)])
    return Claim.of(job, spent_s, overrides)


def take(
    session: Session, job_id: str, owner: str, ttl_s: float, to: JobState, *conditions: Any, **values: Any
) -> Job | None:
    """The job in state `to`, with a new lease and without its hint; None when it may not start (now)."""
    source, job = _BEFORE[to], repository.find(session, job_id)
    if job is None or job.state != source:
        return None
    fits = devices.fits(session, job, owner)
    if not (fits and quotas.may_start(session, job.tenant_id)):
        job = repository.find_locked(session, job_id)
        if job is not None and job.state == source and job.paused_at is None:
            hint(session, job, 0.0 if fits else devices.PAUSE_S)  # for another worker, or another time
        return None
    taken: dict[str, Any] = {
        "state": to.value,
        "lease_token": Job.lease_token + 1,
        "lease_owner": owner,
        "lease_expires_at": db_now() + _ms(ttl_s),
        "version": Job.version + 1,
        **values,
    }
    startable = (
        Job.cancel_requested_at.is_(None),
        Job.paused_at.is_(None),
        Job.available_at <= db_now(),
        Job.expires_at.is_(None) | (Job.expires_at > db_now()),
    )
    job = session.scalar(
        update(Job)
        .where(Job.id == job_id, Job.state == source, *startable, *conditions)
        .values(taken)
        .returning(Job),
        execution_options={"populate_existing": True, "synchronize_session": False},
    )
    if job is not None:
        drop_hint(session, job_id)
    return job


def renew(session: Session, lease: Lease, ttl_s: float) -> StopWish | None:
    """Push the expiry out; returns what the job's owner wants of it meanwhile. Raises LeaseLost."""
    expires: Any = db_now() + _ms(ttl_s)
    row = session.execute(
        update(Job)
        .where(*_held(lease))
        .values(lease_expires_at=expires)
        .returning(Job.cancel_requested_at, Job.paused_at)
        .execution_options(synchronize_session=False)
    ).first()
    return _wish(lease, row)


def stop_wish(session: Session, lease: Lease) -> StopWish | None:
    """What the job's owner wants of it. Raises LeaseLost."""
    wishes = select(Job.cancel_requested_at, Job.paused_at).where(*_held(lease))
    return _wish(lease, session.execute(wishes).first())


def hold(session: Session, lease: Lease) -> Job:
    """The job's row, locked by this transaction until it commits. Raises LeaseLost."""
    job = change(session, lease.job_id, {}, sources=ACTIVE, lease=lease)
    if job is None:
        raise LeaseLost(lease.job_id)
    return job


def end_attempt(session: Session, job: Job, end: AttemptEnd) -> None:
    """Close the row of the job's newest attempt and tell it as an event."""
    session.execute(
        update(JobAttempt)
        .where(JobAttempt.job_id == job.id, JobAttempt.attempt == job.attempt)
        .values(
            outcome=end.outcome,
            cause=end.cause,
            exit_code=end.exit_code,
            message=end.message and end.message[:4000],
            finished_at=db_now(),
        )
        .execution_options(synchronize_session=False)
    )
    data = {"attempt": job.attempt, "outcome": end.outcome, "cause": end.cause, "message": end.message}
    change(session, job.id, {}, events=[("job.attempt", data)])


def expired(session: Session) -> list[str]:
    """Jobs whose worker has been silent for longer than its lease."""
    overdue = select(Job.id).where(Job.state.in_(list(ACTIVE)), Job.lease_expires_at < db_now())
    return list(session.scalars(overdue.order_by(Job.lease_expires_at)))


def reap(session: Session, job_id: str, max_infra_attempts: int) -> bool:
    """Take an expired lease away, if it is one: the job is queued, cancelled if asked, or failed."""
    # The change repeats the condition: the worker may have renewed since the job was listed.
    job = session.scalar(
        update(Job)
        .where(Job.id == job_id, Job.state.in_(list(ACTIVE)), Job.lease_expires_at < db_now())
        .values(version=Job.version + 1)
        .returning(Job),
        execution_options={"populate_existing": True, "synchronize_session": False},
    )
    if job is None:
        return False
    if job.state == JobState.VALIDATING.value:
        _reap_check(session, job, max_infra_attempts)
        return True
    end_attempt(session, job, AttemptEnd("lost", "infra", message="The worker stopped reporting."))
    if job.state == JobState.CANCELLING.value:
        move(session, job_id, JobState.CANCELLED)
    elif (delay_s := retries.delay_s(session, job, "infra", max_infra_attempts)) is None:
        move(session, job_id, JobState.FAILED, error=worker_lost_error(job.attempt))
    else:
        requeue(session, job_id, delay_s=delay_s)
    return True


def _reap_check(session: Session, job: Job, max_infra_attempts: int) -> None:
    lost = job.checks_lost + 1
    if lost < max_infra_attempts:
        await_check(session, job.id, retries.pause_s(lost - retries.LOST_AT_ONCE), checks_lost=lost)
    else:
        move(session, job.id, JobState.FAILED, error=worker_lost_error(job.attempt, "checks"))


def expire_all(session: Session) -> None:
    """End every lease and forget every hint under way. Only where no earlier worker can be alive."""
    # A hint that was never published waits for its time: it is a failed attempt's delay.
    under_way = update(OutboxMessage).where(OutboxMessage.published > 0)
    session.execute(under_way.values(publish_at=db_now(), published=0))
    session.execute(
        update(Job)
        .where(Job.state.in_(list(ACTIVE)))
        .values(lease_expires_at=db_now() - 1)
        .execution_options(synchronize_session=False)
    )


def worker_lost_error(attempt: int, lost: str = "attempts") -> dict[str, Any]:
    """The job's error once too many attempts, or checks, were lost with their machine or process."""
    return {
        "code": "worker_lost",
        "cause": "infra",
        "message": f"Too many {lost} were lost with their worker; the job is not tried again.",
        "retryable": True,
        "attempt": attempt,
    }


def _wish(lease: Lease, row: Row[Any, Any] | None) -> StopWish | None:
    if row is None:
        raise LeaseLost(lease.job_id)
    cancelled_at, paused_at = row
    return "cancel" if cancelled_at is not None else "pause" if paused_at is not None else None


def _held(lease: Lease) -> tuple[Any, ...]:
    return (
        Job.id == lease.job_id,
        Job.lease_token == lease.token,
        Job.lease_owner == lease.owner,
        Job.state.in_(list(ACTIVE)),
    )


def _spent_s(session: Session, job_id: str) -> float:
    times = select(JobAttempt.started_at, JobAttempt.finished_at).where(JobAttempt.job_id == job_id)
    lasted = [(end - start).total_seconds() for start, end in session.execute(times) if end is not None]
    return sum(max(0.0, seconds) for seconds in lasted)  # the clock may have been set back meanwhile


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
