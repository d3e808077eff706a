"""Checking before queueing: what only the engine can say about a training, said within seconds.

pending -> validating -> queued. A short worker claims the check as it claims a job, with a lease and a
fencing token, but no attempt begins. Only the user's mistake ends the job: whatever else a check runs into,
the training itself will find out, with its attempts.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from core.specs import ARCHITECTURES, TrainSpec
from service.jobs import leases
from service.jobs.endings import Ending, Failed, Stopped
from service.jobs.leases import Claim
from service.jobs.states import JobState
from service.jobs.transitions import Lease, await_check, change, move, queue_again

# What this worker lacks, the one that trains may have. A name that its packages do not know is a mistake: who
# mistypes one must not wait for a GPU to be told.
_OF_THIS_WORKER = ("package_missing", "not_found")


@dataclass(frozen=True)
class Checked:
    """The runner found nothing wrong."""


def needs_check(spec: object) -> bool:
    """Other packages' networks: whether one takes such images, and can be traced, takes an engine to say."""
    return isinstance(spec, TrainSpec) and spec.architecture not in ARCHITECTURES


def claim(session: Session, job_id: str, owner: str, ttl_s: float) -> Claim | None:
    """Take the check of a pending job; None when there is none to make."""
    job = leases.take(session, job_id, owner, ttl_s, JobState.VALIDATING)
    if job is None:
        return None
    change(session, job_id, {}, events=[("job.state", {"state": job.state})])
    return Claim.of(job)


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
            message = f"The architecture could not be checked before training ({_reason(ending)})."
            change(session, job.id, {}, events=[("job.log", {"level": "warning", "message": message})])
        queue_again(session, job.id, lease=lease)
    return JobState(job.state)


def _reason(ending: Ending) -> str:
    if isinstance(ending, Failed):
        return f"{ending.code}: {ending.message.rstrip('.')}"
    return ending.reason if isinstance(ending, Stopped) else "its runner ended without an answer"
