"""Whose turn it is: priority that grows with waiting, then the tenant with the fewest running jobs.

Each tenant's first job is one look at an index, so that the cost follows the number of tenants and not the
length of the queue.
"""

from sqlalchemy import Select, func, select, union_all
from sqlalchemy.orm import Session, aliased

from service.jobs.states import ACTIVE
from service.jobs.tables import Job, OutboxMessage
from service.jobs.transitions import AGEING_MS
from service.platform.clock import db_now
from service.tenants.tables import Tenant


def next_hint(session: Session, queue: str, max_running: int | None) -> OutboxMessage | None:
    """The hint to publish next; None when none is due, or only those of tenants at their limit.

    Highest priority first, with a point for every ten minutes of waiting; among equal ones that of the tenant
    with fewer running jobs (and hints under way), then the longest waiting. `max_running`: the limit of
    tenants without one of their own.
    """
    return session.scalar(next_hint_statement(queue, max_running))


def next_hint_statement(queue: str, max_running: int | None) -> Select[OutboxMessage]:
    """The question `next_hint` asks."""
    waiting = aliased(OutboxMessage)
    first = (
        select(waiting.job_id)
        .where(waiting.queue == queue, waiting.tenant_id == Tenant.id, waiting.publish_at <= db_now())
        .order_by(waiting.turn, waiting.job_id)
        .limit(1)
        .correlate(Tenant)
        .scalar_subquery()
    )
    under_way = select(OutboxMessage.tenant_id).where(
        OutboxMessage.published > 0, OutboxMessage.publish_at > db_now()
    )
    taken = union_all(select(Job.tenant_id).where(Job.state.in_(list(ACTIVE))), under_way).subquery()
    busy = select(taken.c.tenant_id, func.count().label("jobs")).group_by(taken.c.tenant_id).subquery()
    jobs, limit = func.coalesce(busy.c.jobs, 0), func.coalesce(Tenant.max_running, max_running)
    return (
        select(OutboxMessage)
        .select_from(Tenant)
        .join(OutboxMessage, OutboxMessage.job_id == first)
        .outerjoin(busy, busy.c.tenant_id == Tenant.id)
        .where(limit.is_(None) | (jobs < limit))
        .order_by(OutboxMessage.turn // AGEING_MS, jobs, OutboxMessage.turn, OutboxMessage.job_id)
        .limit(1)
    )
