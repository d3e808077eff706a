"""A short campaign of `benchmarks.chaos`; the long one is a command of its own."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.waiting import eventually, processes_with

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
SHORT = [
    "--kills",
    "3",
    "--jobs",
    "2",
    "--recipes",
    "nemo",
    "--epochs",
    "6",
    "--pause",
    "1",
    "--patience",
    "400",
    "--cancels",
    "1",
    "--up-kills",
    "1",
]


def test_real_processes_killed_at_random_break_no_promise(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.chaos", *SHORT, "--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (written,) = tmp_path.glob("*-chaos-embedded.json")
    report = json.loads(written.read_text())
    assert report["broken_promises"] == []
    times = {name: fault["times"] for name, fault in report["faults"].items()}
    assert (times.pop("cancel"), times.pop("kill cleave up")) == (1, 1)
    assert sum(times.values()) == 3
    assert report["faults"]["cancel"]["recovered_s_max"] <= 10
    assert report["jobs"] >= 2


def test_a_campaign_that_is_ended_early_leaves_nothing(tmp_path: Path) -> None:
    """Its temporary folder names everything that it starts."""
    command = [sys.executable, "-m", "benchmarks.chaos", *SHORT, "--output", str(tmp_path)]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        eventually(lambda: len(processes_with(f"{tmp_path}/cleave-chaos-")) >= 5, 120)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
    eventually(lambda: processes_with(f"{tmp_path}/cleave-chaos-") == [], 20)
    assert list(tmp_path.iterdir()) == []
