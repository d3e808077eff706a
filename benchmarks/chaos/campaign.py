"""One campaign: references without a fault, then jobs under fire, then the verdict."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.chaos import acts, verdict
from benchmarks.chaos.faults import Arsenal, Blow
from benchmarks.chaos.servers import Postgres, Redis, faked_clock, free_port, small_disk
from benchmarks.chaos.stack import Stack
from benchmarks.chaos.work import KINDS, RECIPES, Family, JobView, Snapshot, look
from service.client import CleaveClient
from service.migrate import upgrade
from service.platform.database import Database
from service.platform.settings import Settings
from service.queue import prepare_broker
from service.tenants.service import ensure_tenant

_TICK_S = 0.2
# As many families at work at once: with all of them, the trainings would take every fault.
_FAMILIES_AT_ONCE = 4
# A fault more than so many ahead of the jobs waits as many pauses more: so the faults last to the last job.
_FAULTS_AHEAD, _PAUSES_BEHIND = 4, 8
# Set by SIGTERM, which also raises SystemExit; one that is raised inside a finaliser is ignored by Python.
ended = threading.Event()
_DISK_MIB = 160


@dataclass(frozen=True)
class Plan:
    """What to do. `pause_s`: between two faults, on average; `patience_s`: until it is called hung."""

    backend: str
    kills: int
    jobs: int
    seed: int
    epochs: int
    pause_s: float
    patience_s: float
    recipes: tuple[str, ...] = RECIPES
    cancels: int = 4
    up_kills: int = 3


@dataclass
class Campaign:
    """The state of one run."""

    plan: Plan
    stack: Stack
    database: Database
    arsenal: Arsenal
    families: list[Family] = field(default_factory=list)
    blows: list[Blow] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    now: Snapshot = field(default_factory=Snapshot)

    def run(self) -> dict[str, Any]:
        """Everything; the answer has the figures and the broken promises."""
        began = time.monotonic()
        with CleaveClient(self.stack.url, timeout=5.0) as client:
            self.until(self.stack.is_ready, lambda _: None, "the start")
            references = self._undisturbed(client)
            under_fire_at = time.monotonic()
            self._under_fire(client)
            finished_at = time.monotonic()
            broken = acts.cancel_some(self, client)
            starts = self._starts()
            if self.plan.backend == "embedded":
                acts.kill_up(self, client)
        everyone = [*references.values(), *self.families]
        accepted = [*self.cancelled, *(job_id for family in everyone for job_id in family.job_ids)]
        broken += verdict.broken(self.database, self.stack.settings, everyone, references, accepted)
        stopped_s = self.stack.stop()
        broken += verdict.processes_left(self.stack.settings)
        return {
            "undisturbed_s": round(under_fire_at - began, 1),
            "under_fire_s": round(finished_at - under_fire_at, 1),
            "stopped_s": round(stopped_s, 1),
            "jobs": sum(len(family.job_ids) for family in self.families),
            "starts": {**starts, **self._starts()},
            "broken_promises": broken,
        }

    def _undisturbed(self, client: CleaveClient) -> dict[str, Family]:
        references = {
            recipe: Family(-1 - number, recipe, self.plan.epochs)
            for number, recipe in enumerate(self.plan.recipes)
        }

        def work(now: Snapshot) -> None:
            for family in references.values():
                family.advance(client, now, len(KINDS))

        self.until(lambda: all(self.is_over(f, len(KINDS)) for f in references.values()), work, "references")
        return references

    def _under_fire(self, client: CleaveClient) -> None:
        """Faults until there were enough; more families where the jobs end sooner than the faults."""
        draw, wanted = self.arsenal.draw, self.plan.jobs
        next_blow = time.monotonic() + self.plan.pause_s

        def work(now: Snapshot) -> None:
            nonlocal next_blow, wanted
            if all(self.is_over(f, self._share(f, wanted)) for f in self.families) and self._kills_left():
                wanted = max(wanted, sum(len(f.job_ids) for f in self.families) + len(KINDS))
            self._plan_families(wanted)
            for family in self._at_work():
                family.advance(client, now, self._share(family, wanted))
            behind_s = _PAUSES_BEHIND * self.plan.pause_s if self._jobs_are_behind(wanted) else 0.0
            if self._kills_left() and time.monotonic() >= next_blow + behind_s:
                blow = self.arsenal.strike(now)
                if blow is not None:
                    self._tell(blow)
                    self.blows.append(blow)
                    next_blow = time.monotonic() + draw.uniform(0.2, 1.8) * self.plan.pause_s

        def done() -> bool:
            accepted = sum(len(family.job_ids) for family in self.families)
            if self._kills_left() or self.arsenal.later or accepted < wanted:
                return False
            recovered = all(blow.recovered_s is not None for blow in self.blows)
            return recovered and all(self.is_over(f, len(f.job_ids)) for f in self.families)

        self.until(done, work, "jobs under fire")

    def _starts(self) -> dict[str, int]:
        return {name: member.starts for name, member in self.stack.members.items()}

    def _kills_left(self) -> int:
        return self.plan.kills - len(self.blows)

    def _at_work(self) -> list[Family]:
        """The families that are over, and the first few that are not."""
        over = [family for family in self.families if self.is_over(family, len(KINDS))]
        rest = [family for family in self.families if family not in over]
        return over + rest[:_FAMILIES_AT_ONCE]

    def _jobs_are_behind(self, wanted: int) -> bool:
        over = sum(job.over for family in self.families for job in self._known(family))
        return over * self.plan.kills < (len(self.blows) - max(_FAULTS_AHEAD, self.plan.kills // 10)) * wanted

    def _share(self, family: Family, wanted: int) -> int:
        """The family's jobs among the first `wanted`; the last family's may be fewer than the others'."""
        return min(len(KINDS), wanted - len(KINDS) * family.number)

    def _plan_families(self, wanted: int) -> None:
        while len(self.families) * len(KINDS) < wanted:
            number = len(self.families)
            recipe = self.plan.recipes[number % len(self.plan.recipes)]
            self.families.append(Family(number, recipe, self.plan.epochs))

    def is_over(self, family: Family, jobs: int) -> bool:
        return sum(job.over for job in self._known(family)) >= jobs

    def _known(self, family: Family) -> list[JobView]:
        return [self.now.jobs[job_id] for job_id in family.job_ids if job_id in self.now.jobs]

    def until(self, done: Callable[[], bool], work: Callable[[Snapshot], None], what: str) -> None:
        """Keep everything up and work until it is done. Raises TimeoutError."""
        deadline = time.monotonic() + self.plan.patience_s
        while True:
            if ended.is_set():
                sys.exit(128 + signal.SIGTERM)
            self.stack.keep_up()
            self.arsenal.undo_due()
            now = look(self.database)
            if now is not None:
                self.now = now
                for blow in self.blows:
                    blow.look(now)
                work(now)
                if done():
                    return
            if time.monotonic() > deadline:
                open_jobs = [job for job in self.now.jobs.values() if not job.over]
                waiting = [blow.name for blow in self.blows if blow.recovered_s is None]
                raise TimeoutError(f"{what}: not within {self.plan.patience_s} s; {open_jobs} {waiting}")
            time.sleep(_TICK_S)

    def _tell(self, blow: Blow) -> None:
        ended = sum(job.over for job in self.now.jobs.values())
        where = ", ".join(f"{job.kind} {job.job_id[-6:]}#{job.attempt}" for job in blow.hit)
        sys.stderr.write(f"{len(self.blows) + 1}/{self.plan.kills} {blow.name} {where} ({ended} jobs over)\n")


@contextmanager
def campaign(plan: Plan, folder: Path) -> Iterator[Campaign]:
    """The whole service in this folder; nothing of it is left afterwards."""
    servers = plan.backend == "servers"
    postgres = Postgres(folder) if servers else None
    redis = Redis(folder) if servers else None
    home = folder / "home"
    home.mkdir()
    artifacts = folder / "artifacts"
    try:
        with small_disk(artifacts, _DISK_MIB) as mounted:
            settings = _settings(home, artifacts, postgres, redis)
            upgrade(settings)
            prepare_broker(settings)
            database = Database(settings)
            with database.write() as session:
                ensure_tenant(session)
            clock = folder / "clock"
            faked = faked_clock(clock) if servers else {}
            stack = _stack(settings, faked)
            arsenal = Arsenal(
                stack, database, Random(plan.seed), postgres, redis,
                artifacts if mounted else None, clock if faked else None,
            )  # fmt: skip
            try:
                yield Campaign(plan, stack, database, arsenal)
            finally:
                stack.kill()
                database.dispose()
    finally:
        if redis is not None:
            redis.stop()
        if postgres is not None:
            postgres.stop()


def _stack(settings: Settings, faked: Any) -> Stack:
    """The dispatcher, which takes leases away, reads the clock that jumps.

    Not a worker: libfaketime makes `time.sleep` fail (EINVAL) where only the wall clock is to jump.
    """
    stack = Stack(settings)
    stack.add("api", "api", "--port", str(settings.port))
    stack.add("dispatcher", "dispatcher", extra=faked)
    stack.add("worker-train-1", "worker", "--queue", "train")
    stack.add("worker-train-2", "worker", "--queue", "train")
    stack.add("worker-short", "worker", "--queue", "short")
    return stack


def _settings(home: Path, artifacts: Path, postgres: Postgres | None, redis: Redis | None) -> Settings:
    """Short leases, so that a run is; budgets for lost attempts that random faults cannot use up."""
    return Settings.model_validate(
        {
            "data_dir": home, "artifact_url": f"file://{artifacts}", "port": free_port(), "auth": False,
            "database_url": postgres and postgres.url, "broker_url": redis and redis.url, "data_root": None,
            "lease_ttl_s": 6.0, "publish_timeout_s": 3.0, "max_infra_attempts": 1000, "max_attempts": 20,
            "min_free_mib": 1,
        }
    )  # fmt: skip
