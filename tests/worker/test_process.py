"""Runner processes: kept warm, replaced, and never left behind."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

import pytest

from core.reports import AnyReport, RunnerInput
from core.specs import EvaluateSpec
from service.platform.settings import Settings
from tests.fixtures.waiting import children_of, command_of, eventually
from tests.worker.test_execution import runner_pids
from worker.context import open_context
from worker.process import RunnerProcess
from worker.warm import RunnerPool

RUNNER = """
import time
from worker.process import RunnerProcess
print(RunnerProcess().pid, flush=True)
time.sleep(600)
"""
TELLING = """
import time
from worker.process import RunnerProcess
runner = RunnerProcess()
print(runner.pid, flush=True)
while True:
    runner.allow_until(time.monotonic() + 1.0)
    time.sleep(0.1)
"""
HEIR = """
import os, time
if os.fork() == 0:
    time.sleep(600)
"""
SLEEPER = """
import subprocess, time
from service.platform.parent_death import bound_command
print(subprocess.Popen(bound_command(["sleep", "600"])).pid, flush=True)
time.sleep(600)
"""


def job(folder: Path) -> RunnerInput:
    """A job whose input files are missing: it fails fast, and by name."""
    return RunnerInput(
        job_id="job_1",
        attempt=1,
        spec=EvaluateSpec(target_id="mdl_1").model_dump(mode="json"),
        staging=str(folder),
        checkpoints=str(folder),
        files={"recipe": str(folder / "none.json"), "weights": str(folder / "none.safetensors")},
    )


def last_report(runner: RunnerProcess, folder: Path, seconds: float = 100.0) -> AnyReport:
    runner.send(job(folder))
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not runner.ended:
        for report in runner.read(0.5):
            if report.type in {"failure", "result", "stopped"}:
                return report
    raise AssertionError("no last report")


def test_a_warm_runner_does_several_jobs_and_is_replaced_after_its_share(tmp_path: Path) -> None:
    pool = RunnerPool(keep_warm=True, jobs_per_runner=2)
    try:
        first = pool.take()
        assert last_report(first, tmp_path).type == "failure"
        first.allow_until(time.monotonic() + 3.0)
        assert pool.give_back(first, healthy=True) is None
        assert first.read(3.5) == []
        second = pool.take()
        assert second is first
        assert last_report(second, tmp_path, seconds=20).type == "failure"
        assert pool.give_back(second, healthy=True) == 0  # its input ended, so it ended
        third = pool.take()
        assert third.pid != first.pid
        pool.give_back(third, healthy=False)
    finally:
        pool.close()


def test_a_training_gets_a_runner_that_was_started_ahead_and_did_nothing_yet(
    settings: Settings, tmp_path: Path
) -> None:
    opened = open_context(settings.model_copy(update={"ready_runner": True}), ["train"], lambda: False)
    pool = opened.runners
    pool.warm_up()
    (ahead,) = eventually(runner_pids)
    first = pool.take()
    assert first.pid == ahead
    assert last_report(first, tmp_path).type == "failure"
    assert pool.give_back(first, healthy=True) == 0
    (ahead,) = eventually(runner_pids)
    second = pool.take()
    assert (second.pid, second.jobs) == (ahead, 0)
    assert second.pid != first.pid
    pool.give_back(second, healthy=False)
    pool.close()
    opened.database.dispose()
    assert runner_pids() == []


def test_a_dead_idle_runner_is_not_handed_out() -> None:
    pool = RunnerPool(keep_warm=True, jobs_per_runner=9)
    pool.warm_up()
    idle = pool.take()
    pool.give_back(idle, healthy=True)
    os.kill(idle.pid, signal.SIGKILL)
    eventually(lambda: not idle.alive)
    runner = pool.take()
    try:
        assert runner.pid != idle.pid
        assert runner.alive
    finally:
        runner.kill()


def no_process(*_: object, **__: object) -> NoReturn:
    raise OSError(errno.EAGAIN, "no more processes")


def test_a_result_is_not_lost_because_the_next_runner_cannot_be_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = RunnerPool(keep_warm=True, jobs_per_runner=1)
    runner = pool.take()
    with monkeypatch.context() as broken:
        broken.setattr(subprocess, "Popen", no_process)
        assert pool.give_back(runner, healthy=False) == -signal.SIGKILL
        with pytest.raises(OSError, match="no more"):
            pool.take()
    runner = pool.take()
    assert runner.alive
    pool.give_back(runner, healthy=False)
    pool.close()


def test_a_runner_that_cannot_be_started_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", no_process)
    before = set(Path("/proc/self/fd").iterdir())
    with pytest.raises(OSError, match="no more"):
        RunnerProcess()
    assert set(Path("/proc/self/fd").iterdir()) <= before


def test_a_killed_runner_shows_by_the_end_of_its_reports(tmp_path: Path) -> None:
    runner = RunnerProcess()
    os.kill(runner.pid, signal.SIGKILL)
    runner.send(job(tmp_path))  # into a broken pipe, perhaps: that must not raise
    eventually(lambda: runner.read(0.1) == [] and runner.ended)
    assert runner.kill() == -signal.SIGKILL


def test_a_killed_runner_shows_although_a_process_that_it_started_holds_its_pipe(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(HEIR)
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    runner = RunnerProcess({"PYTHONPATH": os.pathsep.join(paths)})
    try:
        (heir,) = eventually(lambda: children_of(runner.pid))
        os.kill(runner.pid, signal.SIGKILL)
        eventually(lambda: runner.read(0.1) == [] and runner.ended, 10)
        assert command_of(heir)
    finally:
        runner.kill()
    eventually(lambda: command_of(heir) == "", 10)


def test_a_runner_ends_itself_when_its_supervisor_is_stopped() -> None:
    with subprocess.Popen([sys.executable, "-c", TELLING], stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        pid = int(supervisor.stdout.readline())
        try:
            eventually(lambda: "worker.runner" in command_of(pid) and "parent_death" not in command_of(pid))
            os.kill(supervisor.pid, signal.SIGSTOP)
            eventually(lambda: command_of(pid) == "", 10)
        finally:
            supervisor.kill()


@pytest.mark.parametrize(("code", "expected"), [(RUNNER, "worker.runner"), (SLEEPER, "sleep 600")])
def test_a_bound_process_dies_with_the_one_that_started_it(code: str, expected: str) -> None:
    """The sleeper proves the kernel's part: unlike a runner, it does not notice the end of its input."""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        pid = int(supervisor.stdout.readline())
        eventually(lambda: expected in command_of(pid) and "parent_death" not in command_of(pid))
        supervisor.kill()
    eventually(lambda: command_of(pid) == "", 10)
