"""How an attempt ended, and what that means for its job: the rules of failing, retrying and resuming."""

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy.orm import Session

from service.jobs import leases, retries
from service.jobs.leases import AttemptEnd
from service.jobs.states import JobState
from service.jobs.tables import Job
from service.jobs.transitions import Lease, move, requeue
from service.platform.settings import Settings

_STOPPED = {
    "cancel": "The job was asked to stop.",
    "pause": "The job was paused.",
    "drain": "The worker is shutting down.",
}
_LESS_MEMORY = "A smaller batch_size or a larger gradient_accumulation takes less."


@dataclass(frozen=True)
class Failed:
    """The runner named what went wrong. `cause`: user, oom, infra, internal."""

    code: str
    message: str
    cause: str


@dataclass(frozen=True)
class Stopped:
    """The runner stopped because it was asked to."""

    reason: Literal["cancel", "pause", "drain", "timeout"]


@dataclass(frozen=True)
class Crashed:
    """The runner ended without a word. `exit_code`: negative = the signal that killed it."""

    exit_code: int
    trace: str = ""


@dataclass(frozen=True)
class Stalled:
    """The runner was alive, silent for too long, and stopped. `trace`: where it was, if it could tell."""

    phase: str
    silent_s: int
    exit_code: int
    trace: str = ""


Ending = Failed | Stopped | Crashed | Stalled


def settle(session: Session, lease: Lease, ending: Ending, settings: Settings) -> JobState:
    """End the attempt and decide about the job. Raises LeaseLost. Returns the job's new state."""
    job = leases.hold(session, lease)
    if job.state == JobState.CANCELLING.value:
        leases.end_attempt(session, job, AttemptEnd("cancelled", exit_code=_exit_code(ending)))
        move(session, job.id, JobState.CANCELLED, lease=lease)
    elif isinstance(ending, Stopped):
        _settle_stopped(session, job, lease, ending)
    elif isinstance(ending, Crashed | Stalled):
        _settle_lost(session, job, lease, ending, settings)
    else:
        _settle_failed(session, job, lease, ending, settings)
    return JobState(job.state)


def _settle_stopped(session: Session, job: Job, lease: Lease, ending: Stopped) -> None:
    if ending.reason == "timeout":
        message = f"The job ran longer than its max_runtime_s of {job.spec.get('max_runtime_s')} s."
        leases.end_attempt(session, job, AttemptEnd("failed", "timeout", message=message))
        _fail(session, job, lease, "timeout", "timeout", message)
    else:
        leases.end_attempt(session, job, AttemptEnd("interrupted", message=_STOPPED[ending.reason]))
        requeue(session, job.id, lease=lease)


def _settle_lost(
    session: Session, job: Job, lease: Lease, ending: Crashed | Stalled, settings: Settings
) -> None:
    cause, message = "infra", f"The runner ended without a result ({_describe(ending.exit_code)})."
    if isinstance(ending, Stalled):
        cause = "stalled"
        message = (
            f"The runner reported nothing for {ending.silent_s} s (phase {ending.phase}) and was stopped."
        )
    told = f"{message} It was here:\n{ending.trace}" if ending.trace else message
    leases.end_attempt(session, job, AttemptEnd("lost", cause, ending.exit_code, told))
    delay_s = retries.delay_s(session, job, cause, retries.ALLOWED[cause](job, settings))
    if retries.is_crash_loop(session, job.id):
        crashes = retries.CRASHES_WITHOUT_PROGRESS
        told = f"{crashes} attempts in a row ended without a new checkpoint. {message}"
        _fail(session, job, lease, "crash_loop", cause, told)
    elif delay_s is None:
        move(session, job.id, JobState.FAILED, lease=lease, error=leases.worker_lost_error(job.attempt))
    else:
        requeue(session, job.id, lease=lease, delay_s=delay_s)


def _settle_failed(session: Session, job: Job, lease: Lease, ending: Failed, settings: Settings) -> None:
    helps = ending.cause == "oom" and job.kind == "train"
    message = f"{ending.message} {_LESS_MEMORY}" if helps else ending.message
    leases.end_attempt(session, job, AttemptEnd("failed", ending.cause, message=message))
    delay_s = retries.delay_s(session, job, ending.cause, retries.ALLOWED[ending.cause](job, settings))
    if delay_s is None:
        _fail(session, job, lease, ending.code, ending.cause, message)
    else:
        requeue(session, job.id, lease=lease, delay_s=delay_s)


def _fail(session: Session, job: Job, lease: Lease, code: str, cause: str, message: str) -> None:
    error: dict[str, Any] = {
        "code": code,
        "cause": cause,
        "message": message,
        "retryable": cause in {"infra", "oom", "stalled"},
        "attempt": job.attempt,
    }
    move(session, job.id, JobState.FAILED, lease=lease, error=error)


def _exit_code(ending: Ending) -> int | None:
    return ending.exit_code if isinstance(ending, Crashed | Stalled) else None


def _describe(exit_code: int) -> str:
    return f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"
