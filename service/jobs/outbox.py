"""Hints to publish: how many, which are under way, and care for those that are lost or stray."""

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from service.jobs import devices, repository
from service.jobs.states import ACTIVE, JobState
from service.jobs.tables import IdempotencyRecord, Job, OutboxMessage, Worker
from service.jobs.transitions import hint, release
from service.platform.clock import db_now
from service.platform.database import Database
from service.platform.thinning import delete_gradually

WORKER_SILENT_MS = 15_000
WORKER_FORGOTTEN_MS = 3_600_000
IDEMPOTENCY_KEPT_MS = 48 * 3_600_000
_CLAIMABLE = frozenset({JobState.PENDING, JobState.QUEUED})


def idle_slots(session: Session, queue: str, *, gpu: bool = False) -> int:
    """Workers of the queue that live, take jobs and have none, less the hints that may still be on their way.

    More hints than that would only line up in the broker, where priorities no longer count. `gpu`: only
    workers that may have one, and hints of jobs that ask for one.
    """
    # By worker, not by job: a job whose worker is gone occupies nobody.
    busy = select(Job.lease_owner).where(Job.state.in_(list(ACTIVE)), Job.lease_owner.is_not(None))
    idle = select(Worker.queues).where(
        Worker.heartbeat_at > db_now() - WORKER_SILENT_MS, ~Worker.draining, Worker.id.not_in(busy)
    )
    wanted = OutboxMessage.queue == queue
    if gpu:
        idle = idle.where(devices.MAY_HAVE_GPU)
        wanted &= OutboxMessage.gpu
    # Not a condition on the queue: SQLite would walk all that waits there instead of the few under way.
    travelling = select(func.count().filter(wanted)).where(
        OutboxMessage.published > 0, OutboxMessage.publish_at > db_now()
    )
    workers = sum(queue in queues for queues in session.scalars(idle))
    return max(0, workers - (session.scalar(travelling) or 0))


def mark_published(session: Session, sent: OutboxMessage, publish_timeout_s: float) -> None:
    """Publish again unless somebody claims the job (which deletes the hint) in time.

    A newer hint than the one that was published, of a job that was claimed and queued again meanwhile, stays
    as it is.
    """
    session.execute(
        update(OutboxMessage)
        .where(
            OutboxMessage.job_id == sent.job_id,
            OutboxMessage.published == sent.published,
            OutboxMessage.publish_at == sent.publish_at,
        )
        .values(publish_at=db_now() + round(publish_timeout_s * 1000), published=OutboxMessage.published + 1)
        .execution_options(synchronize_session=False)
    )


def stranded(session: Session) -> list[str]:
    """Interrupted jobs outside the queue, and queued ones and unchecked ones without a hint.

    Transitions leave neither behind; a restored backup or a hand in the tables might.
    """
    hinted = select(OutboxMessage.job_id)
    claimable = (Job.state == JobState.QUEUED.value) | (
        (Job.state == JobState.PENDING.value) & Job.paused_at.is_(None)
    )
    lost = (Job.state == JobState.INTERRUPTED.value) | (claimable & Job.id.not_in(hinted))
    return list(session.scalars(select(Job.id).where(lost)))


def mend(session: Session, job_id: str) -> None:
    """Bring a stranded job back into the queue."""
    job = repository.find_locked(session, job_id)
    if job is not None and job.state == JobState.INTERRUPTED.value:
        release(session, job)
    elif job is not None and job.paused_at is None and job.state in _CLAIMABLE:
        hint(session, job)


def forget(database: Database) -> None:
    """Drop old idempotency records and workers long gone (no lease depends on a worker's row).

    And hints of jobs that nobody can claim, which no transition leaves behind.
    """
    stray = select(Job.id).where(Job.state.not_in(list(_CLAIMABLE)))
    for table, condition in (
        (OutboxMessage, OutboxMessage.job_id.in_(stray)),
        (IdempotencyRecord, IdempotencyRecord.created_at < db_now() - IDEMPOTENCY_KEPT_MS),
        (Worker, Worker.heartbeat_at < db_now() - WORKER_FORGOTTEN_MS),
    ):
        delete_gradually(database, table, condition)
