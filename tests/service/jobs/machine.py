"""A model of the job machine for hypothesis: a rule is one real transaction, the model says what must come.

New states and requests are new rules; what holds of every state stands in `promises`.
"""

import time
from collections.abc import Callable

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from core.reports import CheckpointReport
from core.results import MetricValue
from service.jobs import expiry, fairness, leases, outbox, pausing, service
from service.jobs.endings import Ending, settle
from service.jobs.recording import Notes, record, record_start
from service.jobs.states import TERMINAL, JobState
from service.jobs.tables import Job, OutboxMessage
from service.jobs.transitions import Lease, LeaseLost
from service.models.tables import Metric
from service.platform.database import Database
from service.platform.errors import AlreadyTerminalError, ConflictError
from service.platform.settings import Settings
from tests.fixtures.database import default_tenant, empty
from tests.fixtures.jobs import train_spec
from tests.service.jobs.known import ENDINGS, Known, has_room
from tests.service.jobs.promises import broken_promises, finish, pass_time

SPEC = "1" * 64
TTL_S = 1000.0
# The lease runs out with the fourth; real seconds of a slow machine do not matter beside it.
STEP_S = 300.0
WORKERS = ("wrk_a", "wrk_b")
_CHECKED, _UNCHECKED = ("small_cnn", JobState.QUEUED), ("torchvision:resnet18", JobState.PENDING)


class JobMachine(RuleBasedStateMachine):
    """One draw of events over real tables."""

    jobs: Bundle[str] = Bundle("jobs")
    leases: Bundle[Lease] = Bundle("leases")

    def __init__(self, database: Database, settings: Settings) -> None:
        super().__init__()
        empty(database)
        self.database, self.settings = database, settings
        self.tenant = default_tenant(database)
        self.known: dict[str, Known] = {}

    def write(self, act: Callable[[Session], object]) -> bool:
        """Do it in a transaction of its own; whether the lease held."""
        try:
            with self.database.write() as session:
                act(session)
        except LeaseLost:
            return False
        return True

    @initialize(target=jobs, unchecked=st.booleans())
    def begin(self, *, unchecked: bool) -> str | MultipleResults[str]:
        return self.create(unchecked=unchecked)

    @precondition(lambda self: has_room(self.known))
    @rule(target=jobs, expires_after_s=st.sampled_from([None, 500]), unchecked=st.booleans())
    def create(self, expires_after_s: int | None = None, *, unchecked: bool = False) -> str:
        network, state = _UNCHECKED if unchecked else _CHECKED
        with self.database.write() as session:
            spec = train_spec(expires_after_s=expires_after_s, architecture=network)
            job_id = service.enqueue(session, self.tenant, spec).id
        self.known[job_id] = Known(state, patience_s=expires_after_s, unchecked=unchecked)
        return job_id

    @rule(target=leases, job_id=jobs, owner=st.sampled_from(WORKERS))
    def claim(self, job_id: str, owner: str) -> Lease | MultipleResults[Lease]:
        job, asked_at = self.known[job_id], time.monotonic()
        with self.database.write() as session:
            claim = leases.claim(session, job_id, owner, TTL_S)
        if claim is None:
            assert job.state is not JobState.QUEUED or job.ready_at > asked_at or job.outdated
            return multiple()
        assert job.state is JobState.QUEUED
        assert not job.outdated
        assert time.monotonic() > job.ready_at - 0.5  # the pause began before the model heard of it
        job.start(claim.lease)
        return claim.lease

    @rule(target=leases, job_id=jobs, owner=st.sampled_from(WORKERS))
    def take_over(self, job_id: str, owner: str) -> Lease | MultipleResults[Lease]:
        """The shortest way to two leases, the older of which must be worth nothing: also for its owner."""
        self.pass_time(4)
        self.reap(job_id)
        return self.claim(job_id, owner)

    @rule(lease=leases)
    def renew(self, lease: Lease) -> None:
        job = self.known[lease.job_id]
        told: list[str | None] = []
        held = self.write(lambda session: told.append(leases.renew(session, lease, TTL_S)))
        assert held == (job.holder == lease)
        if held:
            asked = "cancel" if job.state is JobState.CANCELLING else "pause" if job.paused else None
            assert told == [asked]
            job.age_s = 0.0

    @rule(lease=leases, epoch=st.integers(1, 3), checkpoint=st.booleans())
    def report(self, lease: Lease, epoch: int, checkpoint: bool) -> None:
        job = self.known[lease.job_id]
        attempt = lease.token - job.checks
        notes = Notes(progress={"step": epoch}, metrics=[MetricValue(name="loss", value=1.0, epoch=epoch)])
        if checkpoint:
            path = f"{attempt}-{epoch}.safetensors"
            notes.checkpoints = [
                CheckpointReport(path=path, sha256="0" * 64, spec_sha256=SPEC, epoch=epoch, step=0)
            ]
        held = self.write(lambda session: record(session, lease, attempt, notes))
        assert held == (job.holder == lease)
        if held:
            job.figures.append(epoch)
            job.checkpointed |= checkpoint

    @rule(lease=leases)
    def begin_again(self, lease: Lease) -> None:
        """An attempt that found no checkpoint draws its curves anew."""
        job = self.known[lease.job_id]
        attempt = lease.token - job.checks
        held = self.write(lambda session: record_start(session, lease, attempt, None, SPEC))
        assert held == (job.holder == lease)
        if held:
            job.figures.clear()

    @rule(lease=leases)
    def succeed(self, lease: Lease) -> None:
        job = self.known[lease.job_id]
        held = self.write(lambda session: finish(session, lease))
        assert held == (job.holder == lease)
        if held:
            job.state, job.holder, job.paused = JobState.SUCCEEDED, None, False

    @rule(lease=leases, ending=st.sampled_from(ENDINGS) | st.sampled_from(ENDINGS[:4]))
    def end(self, lease: Lease, ending: Ending) -> None:
        job = self.known[lease.job_id]
        held = self.write(lambda session: settle(session, lease, ending, self.settings))
        assert held == (job.holder == lease)
        if held:
            job.end(ending, self.settings)

    @rule(job_id=jobs)
    def cancel(self, job_id: str) -> None:
        job = self.known[job_id]
        if job.state in TERMINAL:
            with pytest.raises(AlreadyTerminalError), self.database.write() as session:
                service.cancel(session, job_id)
            return
        with self.database.write() as session:
            first = service.cancel(session, job_id)[1]
        assert first == (job.state is not JobState.CANCELLING)
        job.stop()

    @rule(job_id=jobs, ask=st.sampled_from([pausing.pause, pausing.resume]))
    def hold_back(self, job_id: str, ask: Callable[[Session, str], tuple[Job, bool]]) -> None:
        job, pause = self.known[job_id], ask is pausing.pause
        if job.state in TERMINAL | {JobState.CANCELLING}:
            with pytest.raises((AlreadyTerminalError, ConflictError)), self.database.write() as session:
                ask(session, job_id)
            return
        with self.database.write() as session:
            assert ask(session, job_id)[1] == (job.paused != pause)
        if job.paused != pause:
            job.pause() if pause else job.resume()

    @rule(steps=st.sampled_from([1, 4]))
    def pass_time(self, steps: int) -> None:
        self.write(lambda session: pass_time(session, steps * STEP_S))
        for job in self.known.values():
            job.wait(steps * STEP_S)

    @rule(job_id=jobs)
    def reap(self, job_id: str) -> None:
        """The dispatcher lists what is overdue; a hand that reaps anything else changes nothing."""
        job = self.known[job_id]
        overdue = job.holder is not None and job.age_s > TTL_S
        with self.database.write() as session:
            assert (job_id in leases.expired(session)) == overdue
            leases.reap(session, job_id, self.settings.max_infra_attempts)
        if overdue:
            job.lose(self.settings)

    @rule(job_id=jobs)
    def expire(self, job_id: str) -> None:
        job = self.known[job_id]
        outdated = job.state in {JobState.PENDING, JobState.QUEUED} and job.outdated
        with self.database.write() as session:
            assert (job_id in expiry.outdated(session)) == outdated
            expiry.expire(session, job_id)
        if outdated:
            job.state, job.paused = JobState.EXPIRED, False

    @rule(job_id=jobs)
    def publish(self, job_id: str) -> None:
        """A hint that goes out, is lost or comes twice changes no job."""
        with self.database.write() as session:
            for queue, state in (("train", JobState.QUEUED), ("short", JobState.PENDING)):
                due = fairness.next_hint(session, queue, None)
                assert due is None or self.known[due.job_id].state is state
            sent = session.get(OutboxMessage, job_id)
            if sent is not None:
                outbox.mark_published(session, sent, 30.0)

    @rule(job_id=jobs)
    def lose_the_row_of_a_hint(self, job_id: str) -> None:
        """What no transaction of ours does, and a restored backup might: the dispatcher mends it."""
        with self.database.write() as session:
            session.execute(delete(OutboxMessage).where(OutboxMessage.job_id == job_id))
        with self.database.write() as session:
            stranded = outbox.stranded(session)
            assert stranded == ([job_id] if self.known[job_id].claimable else [])
            for found in stranded:
                outbox.mend(session, found)

    @precondition(lambda self: any(job.holder for job in self.known.values()))
    @rule()
    def start_anew(self) -> None:
        """`cleave up` after kill -9: no earlier worker lives, so every lease ends."""
        self.write(leases.expire_all)
        for job in self.known.values():
            job.age_s = 2 * TTL_S

    @invariant()
    def promises_hold(self) -> None:
        with self.database.read() as session:
            assert broken_promises(session) == []
            for job_id, job in self.known.items():
                row = service.get(session, job_id)
                assert (row.state, row.paused_at is not None) == (job.state, job.paused)
                assert row.lease_owner == (job.holder and job.holder.owner)
                told = select(Metric.epoch).where(Metric.job_id == job_id, Metric.owner_id.is_(None))
                assert sorted(map(str, session.scalars(told))) == sorted(map(str, job.figures))
