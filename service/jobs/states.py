"""The states of a job and the transitions between them."""

from enum import StrEnum


class JobState(StrEnum):
    PENDING = "pending"
    VALIDATING = "validating"
    QUEUED = "queued"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


TERMINAL = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED})

# The states in which no worker holds a job that is not over.
WAITING = frozenset({JobState.PENDING, JobState.QUEUED, JobState.INTERRUPTED})

# The states in which a worker holds the job.
ACTIVE = frozenset({JobState.VALIDATING, JobState.RUNNING, JobState.CANCELLING})

# The database refuses any other change: a new one here needs a migration of its trigger.
TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    JobState.PENDING: frozenset({JobState.VALIDATING, JobState.QUEUED, JobState.CANCELLED, JobState.EXPIRED}),
    JobState.VALIDATING: frozenset({JobState.QUEUED, JobState.PENDING, JobState.FAILED, JobState.CANCELLED}),
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.PENDING, JobState.CANCELLED, JobState.EXPIRED}),
    JobState.RUNNING: frozenset(
        {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLING, JobState.INTERRUPTED}
    ),
    JobState.INTERRUPTED: frozenset({JobState.QUEUED, JobState.PENDING, JobState.CANCELLED}),
    JobState.CANCELLING: frozenset({JobState.CANCELLED, JobState.SUCCEEDED}),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
    JobState.EXPIRED: frozenset(),
}
