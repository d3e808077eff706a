"""Watching one runner at one job, from its first report to its last."""

import logging
import time
from dataclasses import dataclass
from typing import Literal

from core.reports import AnyReport, CheckedReport, FailureReport, ResultReport, StoppedReport
from core.results import JobResult
from service.jobs.endings import Crashed, Failed, Stalled, Stopped
from service.jobs.transitions import LeaseLost
from service.jobs.validation import Checked
from service.platform import tracing
from worker.context import WorkerContext
from worker.heartbeat import Heartbeat
from worker.memory import MemoryWatch
from worker.process import RunnerProcess
from worker.recorder import Recorder
from worker.stall import StallWatch

_LOG = logging.getLogger(__name__)
_READ_S = 0.2


@dataclass(frozen=True)
class Finished:
    """The runner has a result; it counts once it is recorded."""

    result: JobResult


Outcome = Finished | Checked | Failed | Stopped | Stalled | Crashed


def tell_trouble(outcome: Outcome) -> None:
    """Mark the span around with what went wrong, if anything did, and say it in the log."""
    if isinstance(outcome, Failed):
        tracing.fail(outcome.code)
        level = logging.INFO if outcome.cause == "user" else logging.WARNING
        _LOG.log(level, "failed, %s (cause %s): %s", outcome.code, outcome.cause, outcome.message)
    elif isinstance(outcome, Crashed):
        tracing.fail("crashed")
        _LOG.warning("the runner ended without a result, exit code %d (-N: signal N)", outcome.exit_code)
    elif isinstance(outcome, Stalled):
        tracing.fail("stalled")
        _LOG.warning("the runner reported nothing for %d s, phase %s", outcome.silent_s, outcome.phase)
    elif isinstance(outcome, Stopped):
        _LOG.info("stopped: %s", outcome.reason)
        if outcome.reason == "timeout":
            tracing.fail("timeout")


class Supervision:
    """Relays reports, passes on the wish to stop, and sees to it that a stop happens."""

    def __init__(
        self, context: WorkerContext, runner: RunnerProcess, heartbeat: Heartbeat, recorder: Recorder
    ) -> None:
        self._context = context
        self._runner = runner
        self._heartbeat = heartbeat
        self._recorder = recorder
        self._memory = MemoryWatch(runner.pid, context.settings.runner_memory_mb)
        self._stall = StallWatch(context.settings.stall_timeout_s)
        self._asked: Literal["cancel", "pause", "drain", "timeout", "stall"] | None = None
        self._kill_at = float("inf")
        self._silence = ("", 0)

    @property
    def reusable(self) -> bool:
        """The runner was never asked to stop, and has room for another job."""
        return self._asked is None and self._memory.roomy

    def watch(self, time_left_s: float | None) -> Outcome:
        """Until the job is over, one way or another. Raises LeaseLost."""
        deadline = float("inf") if time_left_s is None else time.monotonic() + time_left_s
        while True:
            self._runner.allow_until(self._heartbeat.until)
            for report in self._runner.read(_READ_S):
                self._stall.hear(report)
                outcome = self._outcome(report)
                if outcome is not None:
                    self._recorder.write()
                    return outcome
                self._recorder.add(report)
            self._recorder.write_if_due()
            if self._heartbeat.lost:
                raise LeaseLost
            if self._memory.exceeded():
                return self._out_of_memory()
            self._ask_to_stop_if_due(deadline)
            if self._runner.ended or time.monotonic() >= self._kill_at:
                return self._without_word(self._runner.kill())

    def _outcome(self, report: AnyReport) -> Outcome | None:
        if isinstance(report, ResultReport):
            return Finished(report.result)
        if isinstance(report, CheckedReport):
            return Checked()
        if isinstance(report, FailureReport):
            return Failed(report.code, report.message, report.cause)
        if isinstance(report, StoppedReport):
            if self._asked == "stall":
                return self._stalled(self._runner.kill())
            # Nobody of ours asked: whoever signalled the runner wants the machine, not the end of the job.
            return Stopped(self._asked or "drain")
        return None

    def _ask_to_stop_if_due(self, deadline: float) -> None:
        if self._asked is not None:
            return
        if self._heartbeat.wish is not None:
            self._asked = self._heartbeat.wish
        elif time.monotonic() >= deadline:
            self._asked = "timeout"
        elif self._context.draining():
            self._asked = "drain"
        elif self._stall.stalled():
            self._asked, self._silence = "stall", (self._stall.phase, round(self._stall.silent_s))
            self._runner.ask_where_it_is()
        if self._asked is not None:
            self._runner.ask_to_stop()
            self._kill_at = time.monotonic() + self._context.settings.cancel_grace_s

    def _out_of_memory(self) -> Failed:
        # At once: by the time it had stopped by itself, the machine might have no memory left.
        self._runner.kill()
        self._recorder.write()
        limit_mb = self._context.settings.runner_memory_mb
        message = f"The runner held {self._memory.held_mb} MB; this worker allows {limit_mb} MB."
        return Failed("out_of_memory", message, "oom")

    def _without_word(self, exit_code: int) -> Outcome:
        self._recorder.write()
        if self._asked == "stall":
            return self._stalled(exit_code)
        return Crashed(exit_code, self._runner.trace) if self._asked is None else Stopped(self._asked)

    def _stalled(self, exit_code: int) -> Stalled:
        phase, silent_s = self._silence
        return Stalled(phase, silent_s, exit_code, self._runner.trace)
