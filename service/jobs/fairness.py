"""Whose turn it is: priority that grows with waiting, then the tenant with the fewest running jobs.

Each tenant's first job is a look at an index, so that the cost follows the number of tenants and not the
length of the queue.
"""

from typing import TypeVar

from sqlalchemy import ScalarSelect, Select, func, select, union_all
from sqlalchemy.orm import InstrumentedAttribute, Session

from service.jobs.states import ACTIVE
from service.jobs.tables import Job, OutboxMessage
from service.jobs.transitions import AGEING_MS
from service.platform.clock import db_now
from service.tenants.tables import Tenant

T = TypeVar("T")


def next_hint(
    session: Session, queue: str, max_running: int | None, *, gpu: bool = True
) -> OutboxMessage | None:
    """The hint to publish next; None when none is due, or only those of tenants at their limit.

    Highest priority first, with a point for every ten minutes of waiting; among equal ones that of the tenant
    with fewer running jobs (and hints under way), then the longest waiting. `max_running`: the limit of
    tenants without one of their own. `gpu`: also of a job that asks for one.
    """
    return session.scalar(next_hint_statement(queue, max_running, gpu=gpu))


def next_hint_statement(queue: str, max_running: int | None, *, gpu: bool = True) -> Select[OutboxMessage]:
    """The question `next_hint` asks."""
    first_turn, first_job = (
        _of_first(column, queue, gpu=gpu) for column in (OutboxMessage.turn, OutboxMessage.job_id)
    )
    under_way = select(OutboxMessage.tenant_id).where(
        OutboxMessage.published > 0, OutboxMessage.publish_at > db_now()
    )
    taken = union_all(select(Job.tenant_id).where(Job.state.in_(list(ACTIVE))), under_way).subquery()
    busy = select(taken.c.tenant_id, func.count().label("jobs")).group_by(taken.c.tenant_id).subquery()
    jobs, limit = func.coalesce(busy.c.jobs, 0), func.coalesce(Tenant.max_running, max_running)
    chosen = (
        select(first_job)
        .select_from(Tenant)
        .outerjoin(busy, busy.c.tenant_id == Tenant.id)
        .where(first_job.is_not(None), limit.is_(None) | (jobs < limit))
        .order_by(first_turn // AGEING_MS, jobs, first_turn, first_job)
        .limit(1)
    )
    # By the key of one: joined to every tenant's first, PostgreSQL may read the whole queue to find them.
    return select(OutboxMessage).where(OutboxMessage.job_id == chosen.scalar_subquery())


def _of_first(column: InstrumentedAttribute[T], queue: str, *, gpu: bool) -> ScalarSelect[T]:
    """A column of the hint that is next among those of the tenant around."""
    due = select(column).where(
        OutboxMessage.queue == queue,
        OutboxMessage.tenant_id == Tenant.id,
        OutboxMessage.publish_at <= db_now(),
    )
    if not gpu:
        due = due.where(~OutboxMessage.gpu)
    return due.order_by(OutboxMessage.turn, OutboxMessage.job_id).limit(1).correlate(Tenant).scalar_subquery()
