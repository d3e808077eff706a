"""What the model of the job machine knows of one job, and what it expects of each ending."""

import time
from dataclasses import dataclass, field

from service.jobs.endings import Crashed, Ending, Failed, Stalled, Stopped
from service.jobs.retries import CRASHES_WITHOUT_PROGRESS
from service.jobs.states import TERMINAL, JobState
from service.jobs.transitions import Lease
from service.jobs.validation import Checked
from service.platform.settings import Settings

ENDINGS: list[Ending] = [
    Stopped("drain"),
    Stopped("pause"),
    Crashed(-9),
    Stalled("train", 600, -6),
    Failed("boom", "It broke.", "internal"),
    Failed("wrong", "Your mistake.", "user"),
    Stopped("timeout"),
]
CHECK_ENDINGS: list[Checked | Ending] = [
    Checked(),
    Stopped("drain"),
    Crashed(-9),
    Failed("wrong", "Your mistake.", "user"),
    Failed("package_missing", "Not here.", "user"),
]


@dataclass
class Known:
    """What the model knows of one job."""

    state: JobState = JobState.QUEUED
    holder: Lease | None = None
    age_s: float = 0.0
    failures: int = 0
    lost: int = 0
    unchecked: bool = False
    checks: int = 0
    checks_lost: int = 0
    fruitless: list[int | None] = field(default_factory=list)  # exit codes of attempts since the last gain
    checkpointed: bool = False
    paused: bool = False
    ready_at: float = 0.0  # after some real seconds, or with the next step of the clock
    figures: list[int] = field(default_factory=list)
    patience_s: float | None = None  # None once it has run: then it never expires

    @property
    def outdated(self) -> bool:
        return self.patience_s is not None and self.patience_s < 0

    @property
    def claimable(self) -> bool:
        return self.state is JobState.QUEUED or (self.state is JobState.PENDING and not self.paused)

    def check(self, lease: Lease) -> None:
        self.state, self.holder, self.age_s, self.ready_at = JobState.VALIDATING, lease, 0.0, 0.0
        self.checks += 1

    def end_check(self, ending: Checked | Ending) -> None:
        """A check goes on elsewhere, ends the job with the user's mistake, or has nothing against it."""
        self.holder = None
        if ending == Stopped("drain"):
            self.state = JobState.PENDING
        else:
            refused = isinstance(ending, Failed) and ending.code == "wrong"
            self.state, self.unchecked = JobState.FAILED if refused else JobState.QUEUED, False

    def start(self, lease: Lease) -> None:
        self.state, self.holder, self.age_s = JobState.RUNNING, lease, 0.0
        self.ready_at, self.checkpointed, self.patience_s = 0.0, False, None

    def wait(self, seconds: float) -> None:
        self.age_s, self.ready_at = self.age_s + seconds, 0.0
        if self.patience_s is not None:
            self.patience_s -= seconds

    def lose(self, settings: Settings) -> None:
        """Its worker fell silent."""
        if self.state is not JobState.VALIDATING:
            self._over_if(self._lost(settings, exit_code=None))
            return
        self.checks_lost, self.holder = self.checks_lost + 1, None
        over = self.checks_lost >= settings.max_infra_attempts
        self.state = JobState.FAILED if over else JobState.PENDING
        self._wait_doubling(self.checks_lost - 2)

    def stop(self) -> None:
        """Its owner cancels it: only what an attempt has made is worth waiting for."""
        running = self.holder is not None and self.state is not JobState.VALIDATING
        self.state, self.paused = JobState.CANCELLING if running else JobState.CANCELLED, False
        self.holder = self.holder if running else None

    def pause(self) -> None:
        self.paused = True
        if self.state is not JobState.RUNNING:
            self.state, self.holder = JobState.PENDING, None

    def resume(self) -> None:
        self.paused = False
        if self.state is JobState.PENDING and not self.unchecked:
            self.state, self.ready_at = JobState.QUEUED, 0.0

    def end(self, ending: Ending, settings: Settings) -> None:
        """Its worker said how the attempt ended."""
        if self.state is JobState.CANCELLING:
            self._over_if(True)
        elif isinstance(ending, Stopped):
            self.fruitless.clear()
            self._over_if(ending.reason == "timeout")
        elif isinstance(ending, Failed):
            self._note(None)
            self.failures += 1
            self._wait_doubling(len(self.fruitless) - 1)
            self._over_if(ending.cause == "user" or self.failures >= settings.max_attempts)
        else:
            self._over_if(self._lost(settings, ending.exit_code))

    def _lost(self, settings: Settings, exit_code: int | None) -> bool:
        self._note(exit_code)
        self.lost += 1
        self._wait_doubling(len(self.fruitless) - 2)
        newest = self.fruitless[-CRASHES_WITHOUT_PROGRESS:]
        crash_loop = len(newest) == CRASHES_WITHOUT_PROGRESS and None not in newest
        return self.lost >= settings.max_infra_attempts or (exit_code is not None and crash_loop)

    def _note(self, exit_code: int | None) -> None:
        if self.checkpointed:
            self.fruitless.clear()
        else:
            self.fruitless.append(exit_code)

    def _wait_doubling(self, doublings: int) -> None:
        if doublings >= 0:
            self.ready_at = time.monotonic() + 2.0**doublings

    def _over_if(self, over: bool) -> None:
        asked, self.holder = self.state is JobState.CANCELLING, None
        if asked or over:
            self.state, self.paused = JobState.CANCELLED if asked else JobState.FAILED, False
        else:
            self.state = JobState.PENDING if self.paused else JobState.QUEUED
            self.ready_at = 0.0 if self.paused else self.ready_at


def has_room(known: dict[str, Known]) -> bool:
    """For another job: of many living ones few events meet the same."""
    return sum(job.state not in TERMINAL for job in known.values()) < 2
