"""Whether a process that listens on no port still does its work, by the signs it leaves in the database."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.jobs.outbox import WORKER_SILENT_MS
from service.jobs.tables import ActiveDispatcher, Worker
from service.platform.clock import db_now

_DISPATCHER_SILENT_MS = 30_000


def dispatched(session: Session) -> bool:
    """A dispatcher, this one or another, has dispatched within 30 s."""
    since = db_now() - _DISPATCHER_SILENT_MS
    return (
        session.scalar(select(ActiveDispatcher.id).where(ActiveDispatcher.heartbeat_at > since)) is not None
    )


def works_on(session: Session, hostname: str) -> bool:
    """A worker of this host, idle, at a job or draining, has reported within 15 s."""
    since = db_now() - WORKER_SILENT_MS
    found = select(Worker.id).where(Worker.hostname == hostname, Worker.heartbeat_at > since).limit(1)
    return session.scalar(found) is not None
