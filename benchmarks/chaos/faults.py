"""What is done to the running service. Each fault names the jobs it hit and how to see that it is over."""

import errno
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from kombu.exceptions import OperationalError
from sqlalchemy.exc import SQLAlchemyError

from benchmarks.chaos.servers import Postgres, Redis
from benchmarks.chaos.stack import Member, Stack, runners_below, send, supervisor_below
from benchmarks.chaos.work import JobView, Snapshot
from service.jobs import outbox
from service.jobs.tables import OutboxMessage
from service.platform.database import Database
from service.queue import CeleryPublisher, create_celery

_DOUBLES = 5
# Without a checkpoint in between, three crashes end a job, and rightly.
_FRUITLESS = 2
_WAITS_S = 15.0


@dataclass
class Blow:
    """One fault: when, to whom, and (None: not seen yet) how long until nothing showed it any more."""

    name: str
    at: float
    hit: list[JobView]
    over: Callable[[], bool] | None = None
    recovered_s: float | None = None

    def look(self, now: Snapshot) -> None:
        """Recovered once every job that was hit runs in a later attempt or has ended."""
        if self.recovered_s is not None or (self.over is not None and not self.over()):
            return
        again = (
            job.over or (job.active and job.attempt > before.attempt)
            for before in self.hit
            if (job := now.jobs.get(before.job_id)) is not None
        )
        if all(again):
            self.recovered_s = time.monotonic() - self.at


@dataclass
class Arsenal:
    """The faults that this machine and these servers allow, and what is to be undone later."""

    stack: Stack
    database: Database
    draw: Random
    postgres: Postgres | None
    redis: Redis | None
    small_disk: Path | None
    clock: Path | None
    later: list[tuple[float, Callable[[], object]]] = field(default_factory=list)
    fruitless: dict[str, int] = field(default_factory=dict)
    next: tuple[str, float] | None = None

    def names(self) -> list[str]:
        """Often what is most likely in life, and what interrupts no job less often."""
        often = ["kill runner", "kill worker", "kill worker's child"] * 4
        every = ["kill dispatcher", "kill api", "stop worker", "stop dispatcher", "stop api"]
        every += ["empty broker", "double messages", "drop messages"] * 2 + ["kill everything"]
        every += ["restart database"] if self.postgres else []
        every += ["fill disk"] if self.small_disk else []
        return often + every + (["clock jump"] if self.clock else [])

    def strike(self, now: Snapshot) -> Blow | None:
        """One fault, drawn; None while it finds nothing to hit: it waits, or others would crowd it out."""
        drawn, since = self.next or ("", 0.0)
        if not drawn or time.monotonic() - since > _WAITS_S:
            drawn, since = self.draw.choice(self.names()), time.monotonic()
        blow = self._strike(drawn, now)
        self.next = (drawn, since) if blow is None else None
        return blow

    def _strike(self, name: str, now: Snapshot) -> Blow | None:
        kind, _, rest = name.partition(" ")
        if rest.startswith("worker") or rest == "runner":
            return self._hit_worker(name, now)
        if name == "kill everything":
            return self._kill_everything(name, now)
        if kind in {"kill", "stop"}:
            return self._hit_service(name, self.stack.members[rest])
        if name == "double messages":
            return self._double_messages(name, now)
        if name == "drop messages":
            return self._drop_messages(name, now)
        act = {
            "empty broker": self._empty_broker,
            "restart database": self._restart_database,
            "fill disk": self._fill_disk,
            "clock jump": self._clock_jump,
        }
        at = time.monotonic()
        return Blow(name, at, [], act[name]())

    def undo_due(self) -> None:
        """Undo what has lasted long enough."""
        for at, undo in [*self.later]:
            if time.monotonic() >= at:
                self.later.remove((at, undo))
                undo()

    def _hit_worker(self, name: str, now: Snapshot) -> Blow | None:
        member = self.draw.choice(self.stack.workers())
        jobs = now.running_on(member.family())
        if not jobs or not all(self._bears(job) for job in jobs):
            return None
        pid = supervisor_below(now.pids[jobs[0].owner or ""])
        if name == "stop worker":
            with_runner = self.draw.random() < 0.5
            self._suspend([member.pid, pid, *(runners_below(pid) if with_runner else [])])
        else:
            target = {"kill runner": runners_below(pid), "kill worker": [member.pid]}.get(name, [pid])
            if not target:
                return None
            send(target[:1], signal.SIGKILL)
        return Blow(name, time.monotonic(), jobs)

    def _bears(self, job: JobView) -> bool:
        blows = 0 if job.checkpoints else self.fruitless.get(job.job_id, 0)
        self.fruitless[job.job_id] = blows + 1
        return blows < _FRUITLESS

    def _hit_service(self, name: str, member: Member) -> Blow:
        at, starts = time.monotonic(), member.starts
        if name.startswith("stop"):
            ends = self._suspend([member.pid])
            return Blow(name, at, [], lambda: time.monotonic() > ends and self.stack.is_ready())
        send([member.pid], signal.SIGKILL)
        return Blow(name, at, [], lambda: member.starts > starts and self.stack.is_ready())

    def _suspend(self, pids: list[int]) -> float:
        """Longer than a lease: whoever was stopped has lost what it had when it goes on."""
        send(pids, signal.SIGSTOP)
        longer = self.stack.settings.lease_ttl_s * self.draw.uniform(1.2, 2.0)
        return self._after(longer, lambda: send(pids, signal.SIGCONT))

    def _kill_everything(self, name: str, now: Snapshot) -> Blow:
        jobs, at = [job for job in now.jobs.values() if job.active and self._bears(job)], time.monotonic()
        for member in self.stack.members.values():
            send([member.pid], signal.SIGKILL)
        return Blow(name, at, jobs, self.stack.is_ready)

    def _empty_broker(self) -> Callable[[], bool]:
        if self.redis is not None:
            self.redis.flush()
        else:
            for message in (self.stack.settings.broker_dir / "messages").glob("*.msg"):
                message.unlink(missing_ok=True)
        return self.stack.is_ready

    def _double_messages(self, name: str, now: Snapshot) -> Blow | None:
        living = [job for job in now.jobs.values() if not job.over]
        with create_celery(self.stack.settings) as app, suppress(OperationalError):
            for job in living:
                for _ in range(_DOUBLES):
                    queue = "train" if job.kind == "train" else "short"
                    CeleryPublisher(app).publish(job.job_id, queue)
        return Blow(name, time.monotonic(), []) if living else None

    def _drop_messages(self, name: str, now: Snapshot) -> Blow | None:
        """The waiting jobs' hints are marked as published, and there is no message: the broker lost them."""
        waiting = [job for job in now.jobs.values() if job.state == "queued"]
        if not waiting:
            return None
        at, timeout_s = time.monotonic(), self.stack.settings.publish_timeout_s
        with suppress(SQLAlchemyError), self.database.write() as session:
            hints = [session.get(OutboxMessage, job.job_id) for job in waiting]
            for hint in (hint for hint in hints if hint is not None):
                outbox.mark_published(session, hint, timeout_s)
        return Blow(name, at, waiting)

    def _restart_database(self) -> Callable[[], bool]:
        if self.postgres is not None:
            self.postgres.restart()
        return self.stack.is_ready

    def _fill_disk(self) -> Callable[[], bool]:
        """Full for some seconds; a fault on top of another changes nothing."""
        ballast = (self.small_disk or Path()) / "ballast"
        try:
            with ballast.open("ab") as file:
                while True:
                    file.write(bytes(1 << 16))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        self._after(3.0, lambda: ballast.unlink(missing_ok=True))
        return lambda: not ballast.exists() and self.stack.is_ready()

    def _clock_jump(self) -> Callable[[], bool]:
        """One hour ahead or back for a while, for the processes that read this clock."""
        clock = self.clock or Path()
        clock.write_text(self.draw.choice(["+3600\n", "-3600\n"]))
        ends = self._after(5.0, lambda: clock.write_text("+0\n"))
        return lambda: time.monotonic() > ends

    def _after(self, seconds: float, undo: Callable[[], object]) -> float:
        """Undo it then; returns when that is."""
        self.later.append((time.monotonic() + seconds, undo))
        return self.later[-1][0]
