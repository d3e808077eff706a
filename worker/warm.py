"""Runners at hand, torch loaded: short work shares one, each training gets one that has done nothing yet."""

import logging
from collections.abc import Mapping

from worker.process import RunnerProcess

_LOG = logging.getLogger(__name__)


class RunnerPool:
    """The runners of one worker process. With `keep_warm`, one idle runner waits for the next job."""

    def __init__(
        self, *, keep_warm: bool, jobs_per_runner: int, environment: Mapping[str, str] | None = None
    ) -> None:
        self._keep_warm = keep_warm
        self._jobs_per_runner = jobs_per_runner
        self._environment = environment
        self._idle: RunnerProcess | None = None

    def warm_up(self) -> None:
        """Start the waiting runner; returns at once, the imports happen in the new process.

        One that cannot be started now is started when it is needed: a job that has just ended has a result.
        """
        if self._keep_warm and self._idle is None:
            try:
                self._idle = RunnerProcess(self._environment)
            except OSError as error:
                _LOG.warning("no runner started ahead: %s", error)

    def take(self) -> RunnerProcess:
        """A runner for one job; give it back afterwards."""
        runner, self._idle = self._idle, None
        if runner is not None and runner.alive:
            return runner
        if runner is not None:
            runner.kill()
        return RunnerProcess(self._environment)

    def give_back(self, runner: RunnerProcess, *, healthy: bool) -> int | None:
        """Keep it, or end it and return its exit code. `healthy`: it ended its job by itself."""
        if healthy and self._keep_warm and runner.jobs < self._jobs_per_runner and runner.alive:
            runner.allow_until()
            self._idle = runner
            return None
        code = runner.close() if healthy else runner.kill()
        self.warm_up()
        return code

    def close(self) -> None:
        if self._idle is not None:
            self._idle.kill()
            self._idle = None
