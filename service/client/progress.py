"""A job's progress as one line of a terminal or notebook, drawn anew at each change."""

import sys
from typing import TextIO

from service.client.schemas import Job

_WIDTH = 30


class ProgressLine:
    """Called with a job, draws it; the line ends with the job."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stderr
        self._drawn = ""

    def __call__(self, job: Job) -> None:
        line = _line(job)
        if line != self._drawn:
            self._out.write(f"\r{line:<{len(self._drawn)}}")
            self._drawn = line
            # The state arrives first, what it ended with after it.
            if job.finished and job.finished_at is not None:
                self._out.write("\n")
            self._out.flush()


def _line(job: Job) -> str:
    percent = job.progress.percent or 0.0
    full = round(_WIDTH * percent / 100)
    parts = [f"{job.kind} {job.id}", f"[{'#' * full}{'.' * (_WIDTH - full)}] {percent:3.0f} %", job.state]
    if job.progress.phase and not job.finished:
        parts.append(job.progress.phase)
    if job.progress.eta_seconds is not None and not job.finished:
        parts.append(f"{job.progress.eta_seconds:.0f} s left")
    return "  ".join(parts)
