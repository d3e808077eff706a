"""A runner that does nothing any more is noticed, told about, and stopped."""

import os
import re
import signal
import time
from pathlib import Path

import pytest
from sqlalchemy import update

from core.reports import LogReport, Progress, RunnerInput
from core.specs import EvaluateSpec
from service.jobs.endings import Stalled, settle
from service.jobs.tables import Job
from service.platform.clock import db_now
from service.platform.database import Database
from service.platform.settings import Settings
from tests.fixtures.jobs import claimed, queued, read_job, states_of
from tests.fixtures.waiting import command_of, eventually
from tests.worker.test_execution import ENDLESS, attempts_of, once_checkpointed, runner_pids
from tests.worker.test_process import last_report
from worker.context import WorkerContext
from worker.execution import execute
from worker.heartbeat import Heartbeat
from worker.process import RunnerProcess
from worker.recorder import Recorder
from worker.stall import StallWatch
from worker.supervision import Supervision
from worker.trace import readable


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def silent_for(watch: StallWatch, clock: Clock, limit: float) -> float:
    """Seconds of ticks until the watch says so."""
    start = clock.now
    while not watch.stalled():
        clock.now += 1.0
        assert clock.now - start <= limit
    return clock.now - start


def test_a_training_may_be_silent_for_the_timeout_and_other_phases_for_six_times_as_long() -> None:
    clock = Clock()
    watch = StallWatch(10.0, clock)
    assert silent_for(watch, clock, 70) == 61
    watch.hear(Progress(phase="train", step=1, total=9))
    assert silent_for(watch, clock, 20) == 11
    watch.hear(LogReport(message="alive"))
    assert silent_for(watch, clock, 20) == 11
    watch.hear(Progress(phase="evaluate", step=0, total=1))
    assert silent_for(watch, clock, 70) == 61


def test_time_in_which_the_supervisor_was_suspended_too_does_not_count() -> None:
    clock = Clock()
    watch = StallWatch(10.0, clock)
    watch.hear(Progress(phase="train", step=1, total=9))
    clock.now += 3600.0
    assert not watch.stalled()


def test_a_trace_is_told_from_the_thread_that_was_asked_and_without_folders() -> None:
    raw = 'Thread 0x1 (most recent call first):\n  File "/a/b/worker/runner.py", line 3 in _read\n\n'
    raw += 'Current thread 0x2 (most recent call first):\n  File "/a b/core/trainer.py", line 9 in train_on\n'
    assert readable(raw).splitlines() == [
        "Current thread 0x2 (most recent call first):",
        '  File "core/trainer.py", line 9 in train_on',
        "Thread 0x1 (most recent call first):",
        '  File "worker/runner.py", line 3 in _read',
    ]


def with_timeout(context: WorkerContext, stall_timeout_s: float) -> WorkerContext:
    changed = {"stall_timeout_s": stall_timeout_s, "cancel_grace_s": 1.0}
    settings = context.settings.model_copy(update=changed)
    return WorkerContext(**{**vars(context), "settings": settings})


def test_a_stopped_runner_is_killed_and_the_job_goes_on_from_its_checkpoint(
    database: Database, tenant: str, context: WorkerContext
) -> None:
    job_id = queued(database, tenant, **ENDLESS)
    seen: list[int] = []

    def suspend() -> None:
        seen.extend(runner_pids())
        os.kill(seen[0], signal.SIGSTOP)

    with once_checkpointed(database, suspend):
        execute(with_timeout(context, 10.0), job_id)
    assert command_of(seen[0]) == ""
    assert states_of(database, job_id)[-2:] == ["interrupted", "queued"]
    attempt = attempts_of(database, job_id)[0]
    assert (attempt.outcome, attempt.cause, attempt.exit_code) == ("lost", "stalled", -signal.SIGKILL)
    assert attempt.message is not None
    assert attempt.message.startswith("The runner reported nothing for 10 s (phase train)")


@pytest.mark.timeout(180)
def test_a_blocked_runner_says_where_and_three_of_them_end_the_job(
    database: Database, tenant: str, context: WorkerContext, settings: Settings, tmp_path: Path
) -> None:
    """It waits for ever to open a named pipe that nobody writes to, and is warm: that is all it does."""
    pipe = tmp_path / "recipe.json"
    os.mkfifo(pipe)
    job = RunnerInput(
        job_id="job_1", attempt=1, spec=EvaluateSpec(target_id="mdl_1").model_dump(mode="json"),
        staging=str(tmp_path), checkpoints=str(tmp_path), files={"recipe": str(pipe), "weights": "none"},
    )  # fmt: skip
    job_id = queued(database, tenant)
    claim = claimed(database, job_id)
    runner, heartbeat = RunnerProcess(), Heartbeat(database, claim.lease, 60.0, time.monotonic())
    heartbeat.start()
    try:
        assert last_report(runner, tmp_path).type == "failure"
        patient = with_timeout(context, 1.0)
        watch = Supervision(patient, runner, heartbeat, Recorder(database, claim, tmp_path)).watch
        runner.send(job)
        ending = watch(None)
    finally:
        runner.kill()
        heartbeat.finish()
    assert isinstance(ending, Stalled)
    assert (ending.phase, ending.exit_code) == ("evaluate", -signal.SIGKILL)
    assert 'File "runners/evaluate.py"' in ending.trace
    assert "in read_recipe" in ending.trace

    states = []
    for attempt in range(3):
        held = claim if attempt == 0 else claimed(database, job_id)
        with database.write() as session:
            states.append(settle(session, held.lease, ending, settings).value)
            session.execute(update(Job).values(available_at=db_now()))  # its delay is over
    assert states == ["queued", "queued", "failed"]
    error = read_job(database, job_id).error
    assert error is not None
    assert (error["code"], error["cause"], error["retryable"]) == ("crash_loop", "stalled", True)
    assert "File" not in error["message"]
    assert "read_recipe" in str(attempts_of(database, job_id)[0].message)


def catches(pid: int, number: int) -> bool:
    caught = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
    return caught is not None and bool(int(caught[1], 16) >> (number - 1) & 1)


def test_a_runner_that_dies_of_a_fault_leaves_its_stack() -> None:
    runner = RunnerProcess()
    try:
        eventually(lambda: catches(runner.pid, signal.SIGUSR1))
        os.kill(runner.pid, signal.SIGSEGV)
        eventually(lambda: runner.read(0.2) == [] and runner.ended)
    finally:
        code = runner.kill()
    assert code == -signal.SIGSEGV
    assert runner.trace.startswith("Fatal Python error: Segmentation fault\n")
    assert 'File "worker/runner.py"' in runner.trace
