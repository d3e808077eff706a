"""`cleave demo` as a newcomer runs it, with one approach and fewer epochs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

# Too few epochs for the promised accuracy, so exit code 1 may be right; all the rest must be there.
EPOCHS = "2"


@pytest.mark.e2e
@pytest.mark.slow  # `make demo` runs the same on every change
@pytest.mark.timeout(280)
def test_demo_runs_the_whole_job_and_stops_what_it_started(tmp_path: Path) -> None:
    """Guards the path from training to a program that runs with torch alone."""
    options = ["--output", str(tmp_path), "--approach", "nemo", "--epochs", EPOCHS, "--keep"]
    command = [sys.executable, "-m", "service.cli", "demo", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (tmp_path / "demo.json").exists(), done.stdout + done.stderr
    found = json.loads((tmp_path / "demo.json").read_text())
    assert "Traceback" not in done.stdout + done.stderr
    assert {entry["approach"] for entry in found["approaches"]} == {"nemo"}
    for approach in found["approaches"]:
        assert len(approach["modules"]) == 10
        assert len(approach["compositions"]) == 6
        for composed in approach["compositions"]:
            assert composed["standalone"]["accuracy"] == pytest.approx(composed["accuracy"], abs=1e-6)
    assert len(list((tmp_path / "plots").glob("*.png"))) == 3
    assert done.returncode == (0 if all(promise["kept"] for promise in found["promises"]) else 1)
    assert _processes_with(str(tmp_path)) == []


def _processes_with(text: str) -> list[str]:
    """Command lines of living processes that mention `text`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it ended while we looked
            continue
        if text in command:
            found.append(command)
    return found
