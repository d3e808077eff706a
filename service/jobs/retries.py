"""Which ends of an attempt are tried again, how often, and how soon."""

from collections.abc import Callable
from itertools import takewhile
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from service.jobs.tables import Checkpoint, Job, JobAttempt
from service.platform.settings import Settings

CRASHES_WITHOUT_PROGRESS = 3
# The first that is lost is followed at once: the pauses begin with the second.
LOST_AT_ONCE = 2
LONGEST_DELAY_S = 60.0
_LOST = ("infra", "stalled")
_MOST_DOUBLINGS, _MOST_PIECES = 4, 256

# By cause: how many attempts may end so before the job fails. Lost ones have a budget in common.
ALLOWED: dict[str, Callable[[Job, Settings], int]] = {
    "user": lambda _job, _settings: 1,
    "timeout": lambda _job, _settings: 1,
    "oom": lambda job, _settings: 1 + _doublings(job.spec),
    "internal": lambda _job, settings: settings.max_attempts,
    "infra": lambda _job, settings: settings.max_infra_attempts,
    "stalled": lambda _job, settings: settings.max_infra_attempts,
}


def delay_s(session: Session, job: Job, cause: str, allowed: int) -> float | None:
    """Seconds until the next attempt, when one has just ended for this cause; None when there is none.

    An attempt that brought a new checkpoint, and a first one that was lost, is followed at once; after others
    the pause doubles.
    """
    causes = _LOST if cause in _LOST else (cause,)
    alike = select(func.count()).where(JobAttempt.job_id == job.id, JobAttempt.cause.in_(causes))
    if (session.scalar(alike) or 0) >= allowed:
        return None
    return pause_s(len(_fruitless(session, job.id)) - (LOST_AT_ONCE if cause in _LOST else 1))


def pause_s(doublings: int) -> float:
    """One second, doubled so often; none where `doublings` is negative."""
    return min(2.0**doublings, LONGEST_DELAY_S) if doublings >= 0 else 0.0


def is_crash_loop(session: Session, job_id: str) -> bool:
    """The newest attempts all ended in their runner, without a checkpoint: the next will do no better."""
    newest = _fruitless(session, job_id)[:CRASHES_WITHOUT_PROGRESS]
    crashes = [a for a in newest if a.outcome == "lost" and a.exit_code is not None]
    return len(crashes) == CRASHES_WITHOUT_PROGRESS


def overrides(session: Session, job: Job) -> dict[str, Any] | None:
    """What the next attempt computes differently from the spec, given how earlier ones ended."""
    refused = select(func.count()).where(JobAttempt.job_id == job.id, JobAttempt.cause == "oom")
    doublings = session.scalar(refused) or 0
    return {"gradient_accumulation": job.spec["gradient_accumulation"] << doublings} if doublings else None


def _doublings(spec: dict[str, Any]) -> int:
    """How often a training may take half as many images at once: each piece of a batch keeps two."""
    if spec.get("on_oom") != "accumulate":
        return 0
    most = min(spec["batch_size"] // 2, _MOST_PIECES) // spec["gradient_accumulation"]
    return min(int(most).bit_length() - 1, _MOST_DOUBLINGS)


def _fruitless(session: Session, job_id: str) -> list[JobAttempt]:
    """The newest attempts that failed or were lost without a checkpoint, up to one that did better."""
    fruitful = set(session.scalars(select(Checkpoint.attempt).where(Checkpoint.job_id == job_id)))
    attempts = select(JobAttempt).where(JobAttempt.job_id == job_id).order_by(JobAttempt.attempt.desc())
    return list(
        takewhile(
            lambda a: a.outcome in {"failed", "lost"} and a.attempt not in fruitful, session.scalars(attempts)
        )
    )
