"""Tickets for a browser's EventSource, which sends no headers: one opens one stream, once, within a minute.

An API key in a URL would end in histories and logs. A ticket is worth nothing once it is there.
"""

import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import delete
from sqlalchemy.orm import Session

from service.jobs import service
from service.jobs.schemas import TicketRead
from service.jobs.tables import StreamTicket
from service.platform.clock import db_now
from service.platform.errors import UnauthorizedError

_VALID_S = 60


def issue(session: Session, tenant_id: str, job_id: str) -> TicketRead:
    """A ticket for the job's events. Raises NotFoundError."""
    job = service.get(session, job_id)
    session.execute(delete(StreamTicket).where(StreamTicket.expires_at < db_now()))
    ticket = secrets.token_urlsafe(32)
    expires: Any = db_now() + _VALID_S * 1000
    session.add(StreamTicket(digest=_digest(ticket), tenant_id=tenant_id, job_id=job.id, expires_at=expires))
    session.flush()
    shown = datetime.now(UTC) + timedelta(seconds=_VALID_S)
    return TicketRead(ticket=ticket, url=f"/v1/events/stream?ticket={ticket}", expires_at=shown)


def redeem(session: Session, ticket: str) -> tuple[str, str]:
    """Use a ticket up: the tenant and the job that it is for. Raises UnauthorizedError."""
    row = (
        delete(StreamTicket)
        .where(StreamTicket.digest == _digest(ticket), StreamTicket.expires_at > db_now())
        .returning(StreamTicket.tenant_id, StreamTicket.job_id)
    )
    found = session.execute(row).one_or_none()
    if found is None:
        raise UnauthorizedError("The ticket is unknown, used or older than a minute; ask for a new one.")
    return found[0], found[1]


def _digest(ticket: str) -> str:
    return hashlib.sha256(ticket.encode()).hexdigest()
