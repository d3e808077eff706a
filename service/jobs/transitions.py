"""Every change of a job's state: the row, its numbered event and, where due, the hint to publish.

All of it in the caller's transaction.

A worker's change carries its lease: it changes nothing once the reaper or another worker has the job.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import case, delete, literal, update
from sqlalchemy.orm import Session

from service.jobs import devices
from service.jobs.states import TERMINAL, TRANSITIONS, JobState
from service.jobs.tables import Job, JobEvent, OutboxMessage
from service.platform.clock import Instant, db_now
from service.webhooks import service as webhooks


@dataclass(frozen=True)
class Lease:
    """The right to write to one job. `token` is the fencing token: it grows with every claim."""

    job_id: str
    token: int
    owner: str


class LeaseLost(Exception):  # noqa: N818 - an order to stop, not an error of the worker
    """Somebody else owns the job now; whatever this worker has made is discarded."""


NO_LEASE: dict[str, Any] = {"lease_owner": None, "lease_expires_at": None}
AGEING_MS = 600_000
_BEFORE_QUEUEING = frozenset({JobState.PENDING, JobState.VALIDATING})


def queue_of(kind: str, state: str) -> str:
    """The broker queue: a training occupies a worker for long, and what is short must not wait behind it."""
    return "train" if kind == "train" and state not in _BEFORE_QUEUEING else "short"


def change(
    session: Session,
    job_id: str,
    values: dict[str, Any],
    *,
    events: Iterable[tuple[str, dict[str, Any]]] = (),
    sources: Iterable[JobState] = tuple(JobState),
    lease: Lease | None = None,
) -> Job | None:
    """Update the row and append `events` with the next numbers.

    None when the job is in no source state or the lease is lost.
    """
    pending = list(events)
    statement = update(Job).where(Job.id == job_id, Job.state.in_(list(sources)))
    if lease is not None:
        statement = statement.where(Job.lease_token == lease.token, Job.lease_owner == lease.owner)
    numbered = {"version": Job.version + 1, "event_seq": Job.event_seq + len(pending)}
    job = session.scalar(
        statement.values(**numbered, **values).returning(Job),
        execution_options={"populate_existing": True, "synchronize_session": False},
    )
    if job is not None:
        first = job.event_seq - len(pending) + 1
        for seq, (kind, data) in enumerate(pending, first):
            session.add(JobEvent(job_id=job.id, seq=seq, tenant_id=job.tenant_id, type=kind, data=data))
            if kind == "job.state":
                tell(session, job, seq)
        session.flush()
    return job


def tell(session: Session, job: Job, seq: int) -> None:
    """Write the messages of the job's webhooks about event number `seq`, its state now."""
    content = {"job_id": job.id, "kind": job.kind, "state": job.state}
    webhooks.tell(session, job.tenant_id, content, seq, job.spec.get("webhook_id"))


def move(
    session: Session,
    job_id: str,
    to: JobState,
    *,
    lease: Lease | None = None,
    sources: Iterable[JobState] | None = None,
    **values: Any,
) -> Job | None:
    """Change the state; None when no transition leads there, or the lease is lost."""
    allowed = {state for state, targets in TRANSITIONS.items() if to in targets}
    sources = allowed & set(allowed if sources is None else sources)
    paused = {"paused": True} if values.get("paused_at") is not None else {}
    events: list[tuple[str, dict[str, Any]]] = [("job.state", {"state": to.value, **paused})]
    if to in TERMINAL:
        values = {**NO_LEASE, "expires_at": None, "paused_at": None, "finished_at": db_now(), **values}
        error, result = values.get("error"), values.get("result")
        events.append(("job.done", {"state": to.value, "error": error, "result": result}))
    job = change(session, job_id, {"state": to.value, **values}, events=events, sources=sources, lease=lease)
    if job is not None and to in TERMINAL:
        drop_hint(session, job_id)
    return job


def requeue(
    session: Session, job_id: str, *, lease: Lease | None = None, delay_s: float = 0.0, **values: Any
) -> Job | None:
    """running -> interrupted -> queued: the attempt is over, the job is not; a later attempt resumes it."""
    job = move(session, job_id, JobState.INTERRUPTED, lease=lease, **NO_LEASE, **values)
    return None if job is None else release(session, job, delay_s)


def release(session: Session, job: Job, delay_s: float = 0.0) -> Job | None:
    """interrupted -> queued, or -> pending where its owner has paused it meanwhile."""
    if job.paused_at is not None:
        return move(session, job.id, JobState.PENDING, paused_at=job.paused_at)
    return queue_again(session, job.id, delay_s)


def queue_again(
    session: Session, job_id: str, delay_s: float = 0.0, *, lease: Lease | None = None
) -> Job | None:
    """interrupted, pending or validating -> queued, with a hint to publish after `delay_s` seconds."""
    due: Any = db_now() + round(delay_s * 1000)
    values = {"queued_at": db_now(), "available_at": due, "paused_at": None, **NO_LEASE}
    job = move(session, job_id, JobState.QUEUED, lease=lease, **values)
    if job is not None:
        hint(session, job)
    return job


def await_check(
    session: Session, job_id: str, delay_s: float = 0.0, *, lease: Lease | None = None, **values: Any
) -> Job | None:
    """validating -> pending: the check is over without a word, another worker makes it anew."""
    values |= {"available_at": db_now() + round(delay_s * 1000), **NO_LEASE}
    job = move(session, job_id, JobState.PENDING, lease=lease, sources={JobState.VALIDATING}, **values)
    if job is not None:
        hint(session, job)
    return job


def drop_hint(session: Session, job_id: str) -> None:
    """Nobody is to claim the job; a hint that is under way already will find that out."""
    session.execute(delete(OutboxMessage).where(OutboxMessage.job_id == job_id))


def hint(session: Session, job: Job, pause_s: float = 0.0) -> None:
    """Ask the dispatcher to publish the job's id once it is available; replaces an older hint.

    `pause_s`: and not before so many seconds.
    """
    drop_hint(session, job.id)
    since = round((job.queued_at or job.created_at).timestamp() * 1000)
    available, paused = literal(job.available_at, Instant), db_now() + round(pause_s * 1000)
    due: Any = case((paused > available, paused), else_=available) if pause_s else job.available_at
    message = OutboxMessage(
        job_id=job.id,
        tenant_id=job.tenant_id,
        queue=queue_of(job.kind, job.state),
        turn=since - job.priority * AGEING_MS,
        publish_at=due,
        gpu=devices.wants_gpu(job),
    )
    session.add(message)
    session.flush()
