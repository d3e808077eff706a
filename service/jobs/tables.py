"""Jobs and everything that tells their story: attempts, events, checkpoints, hints to publish."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Connection,
    ForeignKey,
    Index,
    Integer,
    String,
    event,
    false,
    text,
)
from sqlalchemy.orm import Mapped, Mapper, mapped_column

from service.jobs.states import ACTIVE, TERMINAL, JobState
from service.platform.clock import Instant, db_now
from service.platform.database import JSON_TYPE, Base, TenantOwned, tenant_key, tenant_reference
from service.platform.wakeups import announce

DISPATCH = "dispatch"
_NOT_STARTED = (JobState.PENDING, JobState.VALIDATING, JobState.QUEUED)
_PAUSABLE = (JobState.PENDING, JobState.RUNNING, JobState.INTERRUPTED)
_AFTER_QUEUEING = (
    JobState.QUEUED, JobState.RUNNING, JobState.INTERRUPTED, JobState.CANCELLING, JobState.SUCCEEDED,
)  # fmt: skip


def _among(states: Iterable[JobState]) -> str:
    return "state IN (" + ", ".join(sorted(f"'{state}'" for state in states)) + ")"


class Job(TenantOwned, Base):
    """One piece of long work; `version` grows with every change, `lease_token` (the fence) with a claim.

    A trigger, which only the migrations know, refuses changes of `state` outside `TRANSITIONS`.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint(_among(JobState), name="state"),
        CheckConstraint(f"({_among(ACTIVE)}) = (lease_owner IS NOT NULL)", name="lease_owner"),
        CheckConstraint(f"({_among(ACTIVE)}) = (lease_expires_at IS NOT NULL)", name="lease_expires_at"),
        CheckConstraint(f"({_among(TERMINAL)}) = (finished_at IS NOT NULL)", name="finished_at"),
        CheckConstraint(f"queued_at IS NOT NULL OR NOT {_among(_AFTER_QUEUEING)}", name="queued_at"),
        CheckConstraint(f"paused_at IS NULL OR {_among(_PAUSABLE)}", name="paused_at"),
        CheckConstraint(f"expires_at IS NULL OR {_among(_NOT_STARTED)}", name="expires_at"),
        tenant_key("jobs"),
        Index("ix_jobs_state", "state", "tenant_id"),
        Index("ix_jobs_tenant_created", "tenant_id", "created_at", "id"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    kind: Mapped[str] = mapped_column(String(32))
    state: Mapped[str] = mapped_column(String(32))
    spec: Mapped[dict[str, Any]] = mapped_column(JSON_TYPE)
    spec_sha256: Mapped[str] = mapped_column(String(64))
    priority: Mapped[int] = mapped_column(Integer)
    version: Mapped[int] = mapped_column(Integer, default=1)
    event_seq: Mapped[int] = mapped_column(Integer, default=0)
    attempt: Mapped[int] = mapped_column(Integer, default=0)
    checks_lost: Mapped[int] = mapped_column(Integer, default=0)
    lease_token: Mapped[int] = mapped_column(Integer, default=0)
    lease_owner: Mapped[str | None] = mapped_column(String(64))
    lease_expires_at: Mapped[datetime | None] = mapped_column(Instant)
    available_at: Mapped[datetime] = mapped_column(Instant, default=db_now())
    expires_at: Mapped[datetime | None] = mapped_column(Instant, index=True)
    cancel_requested_at: Mapped[datetime | None] = mapped_column(Instant)
    paused_at: Mapped[datetime | None] = mapped_column(Instant)
    progress: Mapped[dict[str, Any]] = mapped_column(JSON_TYPE, default=dict)
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON_TYPE)
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON_TYPE)
    request_id: Mapped[str | None] = mapped_column(String(100))
    traceparent: Mapped[str | None] = mapped_column(String(55))
    # The newest job that a retry made of this one.
    retried_as: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(Instant, default=db_now())
    queued_at: Mapped[datetime | None] = mapped_column(Instant)
    started_at: Mapped[datetime | None] = mapped_column(Instant)
    finished_at: Mapped[datetime | None] = mapped_column(Instant)


class JobAttempt(TenantOwned, Base):
    """One claim of a job by one worker, and how it ended."""

    __tablename__ = "job_attempts"
    __table_args__ = (
        tenant_reference("job_id", "jobs", ondelete="CASCADE"),
        Index("ix_job_attempts_finished", "tenant_id", "finished_at"),
    )

    job_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    attempt: Mapped[int] = mapped_column(Integer, primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    lease_token: Mapped[int] = mapped_column(Integer)
    worker_id: Mapped[str] = mapped_column(String(64))
    resumed_from: Mapped[str | None] = mapped_column(String(200))
    overrides: Mapped[dict[str, Any] | None] = mapped_column(JSON_TYPE)
    outcome: Mapped[str | None] = mapped_column(String(32))  # succeeded, failed, cancelled, interrupted, lost
    cause: Mapped[str | None] = mapped_column(String(32))  # user, infra, stalled, oom, timeout, internal
    exit_code: Mapped[int | None] = mapped_column(Integer)
    message: Mapped[str | None] = mapped_column(String(4000))
    started_at: Mapped[datetime] = mapped_column(Instant, default=db_now())
    finished_at: Mapped[datetime | None] = mapped_column(Instant)


class JobEvent(TenantOwned, Base):
    """What happened, numbered without gaps from 1 within each job."""

    __tablename__ = "job_events"
    __table_args__ = (tenant_reference("job_id", "jobs", ondelete="CASCADE"),)

    job_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    seq: Mapped[int] = mapped_column(Integer, primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    type: Mapped[str] = mapped_column(String(32))
    data: Mapped[dict[str, Any]] = mapped_column(JSON_TYPE)
    created_at: Mapped[datetime] = mapped_column(Instant, default=db_now())


class Checkpoint(TenantOwned, Base):
    """A complete training state on disk; a later attempt resumes from the newest whose digest fits."""

    __tablename__ = "checkpoints"
    __table_args__ = (tenant_reference("job_id", "jobs", ondelete="CASCADE"),)

    job_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    path: Mapped[str] = mapped_column(String(200), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    attempt: Mapped[int] = mapped_column(Integer)
    sha256: Mapped[str] = mapped_column(String(64))
    spec_sha256: Mapped[str] = mapped_column(String(64))
    best: Mapped[bool] = mapped_column(default=False)
    epoch: Mapped[int] = mapped_column(Integer)
    step: Mapped[int] = mapped_column(Integer)
    metrics: Mapped[dict[str, Any]] = mapped_column(JSON_TYPE, default=dict)
    created_at: Mapped[datetime] = mapped_column(Instant, default=db_now())


class OutboxMessage(TenantOwned, Base):
    """A hint to publish: "this job may be claimed". Written in the transaction that queues the job.

    `turn` orders the jobs of a queue, the smallest first: when the job was queued, in milliseconds, and ten
    minutes earlier for each point of its priority. So waiting adds a point every ten minutes. `gpu`: for a
    training that asks for one; workers told to use none pass over it.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        tenant_reference("job_id", "jobs", ondelete="CASCADE"),
        Index("ix_outbox_published", "published", "publish_at"),
        Index("ix_outbox_turn", "queue", "tenant_id", "turn", "job_id"),
        Index(
            "ix_outbox_turn_no_gpu",
            *("queue", "tenant_id", "turn", "job_id"),
            postgresql_where=text("NOT gpu"),
            sqlite_where=text("gpu = 0"),
        ),
    )

    job_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    queue: Mapped[str] = mapped_column(String(32))
    turn: Mapped[int] = mapped_column(BigInteger)
    publish_at: Mapped[datetime] = mapped_column(Instant, default=db_now())
    published: Mapped[int] = mapped_column(Integer, default=0)
    gpu: Mapped[bool] = mapped_column(default=False, server_default=false())


class IdempotencyRecord(TenantOwned, Base):
    """The stored answer to a creating POST that carried an Idempotency-Key."""

    __tablename__ = "idempotency_records"

    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    route: Mapped[str] = mapped_column(String(200), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    status: Mapped[int] = mapped_column(Integer)
    body: Mapped[dict[str, Any]] = mapped_column(JSON_TYPE)
    created_at: Mapped[datetime] = mapped_column(Instant, default=db_now())


class StreamTicket(TenantOwned, Base):
    """Opens the event stream of one job, once. Only the digest of the ticket is stored."""

    __tablename__ = "stream_tickets"
    __table_args__ = (tenant_reference("job_id", "jobs", ondelete="CASCADE"),)

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    job_id: Mapped[str] = mapped_column(String(64))
    expires_at: Mapped[datetime] = mapped_column(Instant)


class Worker(Base):
    """A worker process that has reported in; `id` is random per process start, never a host name."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    hostname: Mapped[str] = mapped_column(String(255))
    pid: Mapped[int] = mapped_column(Integer)
    queues: Mapped[list[str]] = mapped_column(JSON_TYPE)
    device: Mapped[str] = mapped_column(String(100), default="auto")
    draining: Mapped[bool] = mapped_column(default=False)
    started_at: Mapped[datetime] = mapped_column(Instant, default=db_now())
    heartbeat_at: Mapped[datetime] = mapped_column(Instant, default=db_now())


class ActiveDispatcher(Base):
    """The one row tells who dispatches; `turn` grows whenever a dispatcher becomes the active one."""

    __tablename__ = "dispatcher"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    hostname: Mapped[str] = mapped_column(String(255))
    pid: Mapped[int] = mapped_column(Integer)
    turn: Mapped[int] = mapped_column(Integer)
    heartbeat_at: Mapped[datetime] = mapped_column(Instant)


@event.listens_for(JobEvent, "after_insert")
def _wake_followers(_: Mapper[JobEvent], connection: Connection, row: JobEvent) -> None:
    announce(connection, row.job_id)
    if row.type == "job.state":  # a worker may be free
        announce(connection, DISPATCH)


@event.listens_for(OutboxMessage, "after_insert")
@event.listens_for(Worker, "after_insert")
def _wake_dispatcher(_: Mapper[Base], connection: Connection, __: Base) -> None:
    announce(connection, DISPATCH)
