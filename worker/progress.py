"""From the runner's steps to percent and remaining time."""

import time
from collections.abc import Callable
from typing import Any

from core.reports import Progress

_SMOOTHING = 0.1
_STEPS_FOR_ETA = 20
_SHARE_FOR_ETA = 0.03


class ProgressMeter:
    """Percent of the whole job, and an ETA from a smoothed time per step (null until it means something).

    Phases of a single step (loading, saving) are short beside the one that counts: they leave the percent.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._phase: str | None = None
        self._step = 0
        self._seen = 0
        self._at = 0.0
        self._step_s: float | None = None
        self._percent = 0.0

    def read(self, progress: Progress) -> dict[str, Any]:
        """The progress as the job's row keeps it."""
        self._measure(progress)
        if progress.total > 1:
            self._percent = max(self._percent, min(100.0, 100.0 * progress.step / progress.total))
        return {
            **progress.model_dump(exclude={"type"}),
            "percent": round(self._percent, 1),
            "eta_seconds": self._eta(progress),
        }

    def _measure(self, progress: Progress) -> None:
        now = self._clock()
        steps = progress.step - self._step
        if progress.phase != self._phase:
            self._phase, self._seen, self._step_s = progress.phase, 0, None
        elif steps > 0:
            per_step = (now - self._at) / steps
            weight = 1.0 if self._step_s is None else 1.0 - (1.0 - _SMOOTHING) ** steps
            self._step_s = weight * per_step + (1.0 - weight) * (self._step_s or 0.0)
            self._seen += steps
        self._step, self._at = progress.step, now

    def _eta(self, progress: Progress) -> float | None:
        enough = self._seen >= _STEPS_FOR_ETA or self._seen > _SHARE_FOR_ETA * progress.total > 0
        if self._step_s is None or not enough:
            return None
        return round(self._step_s * (progress.total - progress.step), 1)
