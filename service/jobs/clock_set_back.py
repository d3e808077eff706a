"""What the database's clock leaves when it is set back: instants further ahead than anything sets them.

Until the clock is as late again a dead worker would keep its job, and hints and messages would wait.
"""

from typing import Any

from sqlalchemy import ColumnElement, exists, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from service.jobs import retries
from service.jobs.outbox import WORKER_SILENT_MS
from service.jobs.states import TERMINAL, JobState
from service.jobs.tables import Job, OutboxMessage, Worker
from service.platform.clock import db_now
from service.platform.settings import Settings
from service.webhooks.outcomes import longest_wait_ms
from service.webhooks.tables import Delivery

Furthest = int | ColumnElement[int]
_LIVING = [state for state in JobState if state not in TERMINAL]
# A worker may have a longer lease than this process would give it, and must not lose it for that.
_MARGIN_MS = 600_000


def is_ahead(session: Session, settings: Settings) -> bool:
    """Whether there is such an instant: there hardly ever is, and looking keeps no writer waiting."""
    return any(session.scalar(select(exists().where(*found))) for _, _, found in _instants(settings))


def bring_back(session: Session, settings: Settings) -> int:
    """Set such instants anew: leases and the pauses of messages begin now, what else waits is due.

    Returns how many there were.
    """
    count = 0
    for column, anew_ms, found in _instants(settings):
        ahead = update(column.class_).where(*found).values({column: db_now() + anew_ms}).returning(column)
        count += len(session.execute(ahead, execution_options={"synchronize_session": False}).all())
    return count


def _instants(
    settings: Settings,
) -> list[tuple[InstrumentedAttribute[Any], Furthest, list[ColumnElement[bool]]]]:
    """Column, milliseconds from now to set it to, and what finds rows in which it is too far ahead."""
    ttl_ms, pause_ms = round(settings.lease_ttl_s * 1000), round(retries.LONGEST_DELAY_S * 1000)
    travel_ms = max(pause_ms, round(settings.publish_timeout_s * 1000))
    living = Job.state.in_(_LIVING)
    wait_ms = longest_wait_ms(settings)
    # What the index finds; the rest depends on the row.
    far = Delivery.due_at > db_now() + _MARGIN_MS
    return [
        (column, anew_ms, [column > db_now() + furthest_ms, *conditions])
        for column, furthest_ms, anew_ms, *conditions in (
            (Job.lease_expires_at, ttl_ms + _MARGIN_MS, ttl_ms, living),
            (Job.available_at, pause_ms + _MARGIN_MS, 0, living),
            (OutboxMessage.publish_at, travel_ms + _MARGIN_MS, 0),
            (Worker.heartbeat_at, WORKER_SILENT_MS, 0),
            (Delivery.due_at, wait_ms + _MARGIN_MS, wait_ms, far),
        )
    ]
