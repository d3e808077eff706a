"""A live bar for a job, on stderr, so that stdout stays for results."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from service.client import CleaveClient
from service.client.schemas import Job

_LINE_INTERVAL_S = 10.0


@contextmanager
def job_bars(console: Console | None = None) -> Iterator[Callable[[str], Callable[[Job], None]]]:
    """Yields `add(label)`: starts a bar, returns the callback that moves it (see `JobsClient.wait`)."""
    columns = (
        TextColumn("{task.fields[label]:<28}", markup=False),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>5.1f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    console = console or Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:

        def add(label: str) -> Callable[[Job], None]:
            if not console.is_terminal:
                return _plain_lines(console, label)
            task = progress.add_task("", total=100.0, label=label, note="")
            return lambda job: _show(progress, task, job)

        yield add


def wait_with_bar(client: CleaveClient, job: Job, label: str) -> Job:
    """Follow one job to its end behind a bar."""
    with job_bars() as add:
        return client.jobs.wait(job.id, on_progress=add(label))


def _plain_lines(console: Console, label: str) -> Callable[[Job], None]:
    """For pipes and logs: the job's id at once, then a line every ten seconds."""
    next_line = 0.0

    def show(job: Job) -> None:
        nonlocal next_line
        if not job.finished and time.monotonic() >= next_line:
            done = job.progress.percent or 0.0
            name = label if next_line else f"{label}: {job.id}"
            line = f"  {name} {done:.0f} %, {_note(job)}"
            console.print(line, highlight=False, markup=False, soft_wrap=True)
            next_line = time.monotonic() + _LINE_INTERVAL_S

    return show


def _show(progress: Progress, task: TaskID, job: Job) -> None:
    # An ended job says so elsewhere: finished bars would pile up.
    progress.update(task, completed=job.progress.percent or 0.0, note=_note(job), visible=not job.finished)


def _note(job: Job) -> str:
    now = job.progress
    parts = [job.state if job.state != "running" else now.phase or "starting"]
    if now.epoch is not None and now.epochs is not None:
        parts.append(f"epoch {now.epoch}/{now.epochs}")
    if now.eta_seconds is not None and not job.finished:
        parts.append(f"ETA {duration(now.eta_seconds)}")
    return " · ".join(parts)


def duration(seconds: float) -> str:
    """Seconds as 42 s, 3:07 or 1:02:45."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    hours, rest = divmod(whole, 3600)
    tail = f"{rest // 60:02d}:{rest % 60:02d}"
    return f"{hours}:{tail}" if hours else tail.removeprefix("0")
