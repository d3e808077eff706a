"""What must hold of the tables at any moment, whoever did what to the jobs; and a clock to be advanced."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from core.results import MetricValue, TrainResult
from service.jobs import leases
from service.jobs.leases import AttemptEnd
from service.jobs.states import ACTIVE, TERMINAL, TRANSITIONS, JobState
from service.jobs.tables import Job, JobAttempt, JobEvent, OutboxMessage
from service.jobs.transitions import Lease, move
from service.models.tables import Model
from service.platform.clock import Instant
from service.registration import register_result
from service.tables import metadata


def pass_time(session: Session, seconds: float) -> None:
    """Let the database's clock advance: every stored instant of the jobs moves into the past."""
    for table in (metadata.tables[name] for name in ("jobs", "job_attempts", "outbox")):
        instants = [column for column in table.columns if isinstance(column.type, Instant)]
        session.execute(update(table).values({c: c - round(seconds * 1000) for c in instants}))


def broken_promises(session: Session) -> list[str]:
    """Every promise that some job breaks; empty when all hold."""
    hinted = set(session.scalars(select(OutboxMessage.job_id)))
    events = list(session.scalars(select(JobEvent).order_by(JobEvent.seq)))
    attempts = list(session.scalars(select(JobAttempt).order_by(JobAttempt.attempt)))
    models = list(session.scalars(select(Model)))
    return [
        f"{job.id} is {job.state}: {promise}"
        for job in session.scalars(select(Job))
        for told in [[event for event in events if event.job_id == job.id]]
        for promise in (
            *_story(job, told),
            *_attempts(job, told, [attempt for attempt in attempts if attempt.job_id == job.id]),
            *_lease(job),
            *_published(job, [model.id for model in models if model.job_id == job.id]),
            *([] if (job.id in hinted) == _claimable(job) else ["hint iff claimable"]),
        )
    ]


def finish(session: Session, lease: Lease) -> None:
    """What a worker does with a result: one fenced transaction. Raises LeaseLost."""
    job = leases.hold(session, lease)
    public = register_result(session, job, _RESULT, {})
    leases.end_attempt(session, job, AttemptEnd("succeeded"))
    move(session, job.id, JobState.SUCCEEDED, lease=lease, result=public)


_RESULT = TrainResult(
    architecture="small_cnn", approach="nemo", recipe="published", dataset="digits", dataset_digest="d" * 64,
    classes=["a", "b"], input_shape=[1, 8, 8], parameters=1, flops=1, seed=0, units={}, versions={},
    metrics=[MetricValue(name="accuracy", value=1.0)], files=[],
)  # fmt: skip


def _story(job: Job, events: Sequence[JobEvent]) -> Iterable[str]:
    numbers = [event.seq for event in events]
    if numbers != list(range(1, job.event_seq + 1)):
        yield f"events are numbered {numbers} of {job.event_seq}"
    states = [JobState(event.data["state"]) for event in events if event.type == "job.state"]
    if states[-1] != job.state:
        yield f"the last event says {states[-1]}"
    # A pause that is asked for, or taken back, is told without a change of state.
    if any(after != before and after not in TRANSITIONS[before] for before, after in pairwise(states)):
        yield f"no such path: {states}"
    ends = [event.seq for event in events if event.type == "job.done"]
    if ends != ([job.event_seq] if job.state in TERMINAL else []):
        yield f"job.done at {ends} of {job.event_seq}"


def _claimable(job: Job) -> bool:
    return job.state == JobState.QUEUED or (job.state == JobState.PENDING and job.paused_at is None)


def _attempts(job: Job, events: Sequence[JobEvent], attempts: Sequence[JobAttempt]) -> Iterable[str]:
    if [a.attempt for a in attempts] != list(range(1, job.attempt + 1)):
        yield f"attempts {[a.attempt for a in attempts]} of {job.attempt}"
    # A claim for a check takes a token, too.
    told = [event.data for event in events if event.type == "job.state"]
    claims = [data for data in told if data["state"] == JobState.VALIDATING or "attempt" in data]
    tokens = [token for token, data in enumerate(claims, 1) if "attempt" in data]
    if [a.lease_token for a in attempts] != tokens or job.lease_token != len(claims):
        yield f"one token per claim, not {[a.lease_token for a in attempts]} of {job.lease_token}"
    running = [a.attempt for a in attempts if a.outcome is None or a.finished_at is None]
    if running != ([job.attempt] if job.state in ACTIVE - {JobState.VALIDATING} else []):
        yield f"attempts without an end: {running}"
    won = [a.attempt for a in attempts if a.outcome == "succeeded"]
    if won != ([job.attempt] if job.state == JobState.SUCCEEDED else []):
        yield f"attempts that succeeded: {won}"


def _lease(job: Job) -> Iterable[str]:
    if {job.lease_owner is None, job.lease_expires_at is None} != {job.state not in ACTIVE}:
        yield f"leased to {job.lease_owner} until {job.lease_expires_at}"


def _published(job: Job, published: list[str]) -> Iterable[str]:
    # Other kinds answer the model that they worked on.
    named = [] if job.result is None or job.kind != "train" else [job.result["model_id"]]
    if published != named or (job.result is not None) != (job.state == JobState.SUCCEEDED):
        yield f"published {published}, answered {named}"
    if (job.finished_at is not None) != (job.state in TERMINAL):
        yield f"finished at {job.finished_at}"
    if (job.error is not None) != (job.state in {JobState.FAILED, JobState.EXPIRED}):
        yield f"its error is {job.error}"
