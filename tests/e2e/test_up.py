"""`cleave up` as a person sees it in a terminal."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from service.platform.settings import environment_of
from tests.fixtures.database import settings_for
from tests.fixtures.waiting import processes_with

pytestmark = pytest.mark.e2e


def test_it_says_that_it_stops_and_that_it_has_stopped(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with subprocess.Popen(
        [sys.executable, "-m", "service.cli", "up", "--port", "0", "--data-dir", str(home)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        env={**environment_of(settings_for(tmp_path, data_dir=home)), "PYTHONUNBUFFERED": "1"},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            before = next(line for line in process.stdout if "Cleave is ready" in line)
            process.send_signal(signal.SIGINT)
            after = [line for line in process.stdout if line.strip()]
            status = process.wait()
        finally:
            process.kill()
    assert "Ctrl-C" in before
    assert [line.split()[0] for line in after] == ["Stopping:", "Stopped."], after
    assert str(home) in after[1]
    assert (status, processes_with(str(home))) == (0, [])
