"""What the tables tell about the engine's health: counts and ages over all tenants."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from service.jobs.tables import ActiveDispatcher, Job, JobAttempt, OutboxMessage
from service.jobs.workers import list_workers
from service.platform.clock import db_now


@dataclass(frozen=True)
class Figure:
    """One number of a metric; `kind` is Prometheus's: gauge or counter."""

    name: str
    kind: str
    value: float
    labels: dict[str, str]


def figures(session: Session) -> list[Figure]:
    """Every figure, those of one metric together."""
    return [*_jobs(session), *_hints(session), *_attempts(session), *_workers(session), *_dispatcher(session)]


def _jobs(session: Session) -> list[Figure]:
    rows = session.execute(select(Job.state, Job.kind, func.count()).group_by(Job.state, Job.kind))
    return [Figure("jobs", "gauge", count, {"state": s, "kind": k}) for s, k, count in rows]


def _hints(session: Session) -> list[Figure]:
    waiting = db_now() - func.min(func.coalesce(Job.queued_at, Job.created_at))
    hinted = select(OutboxMessage.queue, waiting).join(Job, Job.id == OutboxMessage.job_id)
    queued = hinted.group_by(OutboxMessage.queue)
    late = (db_now() - func.min(OutboxMessage.publish_at)).label("late")
    due = select(OutboxMessage.queue, late).where(OutboxMessage.publish_at <= db_now())
    published = select(OutboxMessage.queue, func.max(OutboxMessage.published)).group_by(OutboxMessage.queue)
    found = [
        Figure("hint_publications", "gauge", count, {"queue": queue})
        for queue, count in session.execute(published)
    ]
    return found + [
        Figure(name, "gauge", _seconds(value), {"queue": queue})
        for name, rows in (
            ("oldest_queued_seconds", queued),
            ("outbox_lag_seconds", due.group_by(OutboxMessage.queue)),
        )
        for queue, value in session.execute(rows)
    ]


def _attempts(session: Session) -> list[Figure]:
    columns = (JobAttempt.outcome, JobAttempt.cause)
    # An attempt lost without an exit code is one whose worker fell silent.
    expired = (JobAttempt.outcome == "lost") & JobAttempt.exit_code.is_(None)
    counts = (
        func.count(),
        func.count(case((expired, 1))),
        func.count(JobAttempt.resumed_from),
    )
    rows = session.execute(select(*columns, *counts).group_by(*columns)).all()
    ended = [
        Figure("attempts_total", "counter", row[2], {"outcome": row[0], "cause": row[1] or ""})
        for row in rows
        if row[0] is not None
    ]
    return [
        *ended,
        Figure("lease_expiries_total", "counter", sum(row[3] for row in rows), {}),
        Figure("resumes_total", "counter", sum(row[4] for row in rows), {}),
    ]


def _workers(session: Session) -> list[Figure]:
    counted: Counter[tuple[str, str]] = Counter()
    for worker in list_workers(session):
        if worker.state != "silent":
            counted.update((queue, worker.state) for queue in worker.queues)
    return [
        Figure("workers", "gauge", count, {"queue": queue, "state": state})
        for (queue, state), count in sorted(counted.items())
    ]


def _dispatcher(session: Session) -> list[Figure]:
    columns = (db_now() - ActiveDispatcher.heartbeat_at, ActiveDispatcher.turn)
    return [
        figure
        for age, turn in session.execute(select(*columns))
        for figure in (
            Figure("dispatcher_heartbeat_age_seconds", "gauge", _seconds(age), {}),
            Figure("dispatcher_turns_total", "counter", turn, {}),
        )
    ]


def _seconds(milliseconds: Any) -> float:
    """Of a difference of instants, which the database gives as a number."""
    return float(milliseconds) / 1000
