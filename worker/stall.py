"""How long a runner has been silent, and how long it may be."""

import time
from collections.abc import Callable

from core.reports import AnyReport, Progress

_REPORTS_STEPS = "train"
# Loading, compiling, evaluating and saving report where they begin, and then do all their work.
_PATIENCE = 6.0
# A supervisor that was suspended together with its runner counts this much of the gap.
_LONGEST_TICK_S = 2.0


class StallWatch:
    """Silence is counted while the supervisor itself is awake, and ends with any report."""

    def __init__(self, timeout_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._timeout_s = timeout_s
        self._clock = clock
        self._last_tick = clock()
        self.phase = "start"
        self.silent_s = 0.0

    def hear(self, report: AnyReport) -> None:
        """The runner has reported."""
        self.silent_s = 0.0
        if isinstance(report, Progress):
            self.phase = report.phase

    def stalled(self) -> bool:
        """Whether the runner has been silent for too long by now; to be asked after every reading."""
        now = self._clock()
        self.silent_s += min(now - self._last_tick, _LONGEST_TICK_S)
        self._last_tick = now
        patience = 1.0 if self.phase == _REPORTS_STEPS else _PATIENCE
        return self.silent_s > patience * self._timeout_s
