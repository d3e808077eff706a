"""Checking before queueing: what only the engine can say about a training, said within seconds.

pending -> validating -> queued. A short worker claims the check as it claims a job, with a lease and a
fencing token, but no attempt begins. Only the user's mistake ends the job: whatever else a check runs into,
the training itself will find out, with its attempts.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from core.specs import ARCHITECTURES, TrainSpec
from service.jobs import leases, repository
from service.jobs.endings import Ending, Failed, Stopped
from service.jobs.leases import Claim
from service.jobs.states import JobState
from service.jobs.tables import Job
from service.jobs.transitions import Lease, await_check, change, drop_hint, move, queue_again
from service.platform.clock import db_now

# What this worker lacks, the one that trains may have.
_OF_THIS_WORKER = ("package_missing",)


@dataclass(frozen=True)
class Checked:
    """The runner found nothing wrong."""


def needs_check(spec: object) -> bool:
    """Other packages' networks: whether one takes such images, and can be traced, takes an engine to say."""
    return isinstance(spec, TrainSpec) and spec.architecture not in ARCHITECTURES


def claim(session: Session, job_id: str, owner: str, ttl_s: float) -> Claim | None:
    """Take the check of a pending job; None when there is none to make."""
    job = repository.find_locked(session, job_id)
    if job is None or job.state != JobState.PENDING.value or job.paused_at is not None:
        return None
    taken: dict[str, Any] = {
        "lease_token": Job.lease_token + 1,
        "lease_owner": owner,
        "lease_expires_at": db_now() + round(ttl_s * 1000),
    }
    move(session, job_id, JobState.VALIDATING, **taken)
    drop_hint(session, job_id)
    lease = Lease(job_id=job.id, token=job.lease_token, owner=owner)
    return Claim(lease, job.tenant_id, job.kind, job.attempt, dict(job.spec), spent_s=0.0)


def settle(session: Session, lease: Lease, ending: Checked | Ending) -> JobState:
    """Queue the job, or end it with the user's mistake. Raises LeaseLost. Returns its new state."""
    job = leases.hold(session, lease)
    if isinstance(ending, Failed) and ending.cause == "user" and ending.code not in _OF_THIS_WORKER:
        error: dict[str, Any] = {"code": ending.code, "cause": "user", "message": ending.message}
        error |= {"retryable": False, "attempt": job.attempt}
        move(session, job.id, JobState.FAILED, lease=lease, error=error)
    elif isinstance(ending, Stopped) and ending.reason == "drain":
        await_check(session, job.id, lease=lease)
    else:
        if not isinstance(ending, Checked):
            doubt = {"level": "warning", "message": "The architecture could not be checked before training."}
            change(session, job.id, {}, events=[("job.log", doubt)])
        queue_again(session, job.id, lease=lease)
    return JobState(job.state)
