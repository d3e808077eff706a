"""Every operation that the API describes, with what fits its description and what does not.

All of schemathesis's checks (but one, whose place tests/fixtures/fuzzing.py takes), and ours: every error is
a problem document with a documented code. With one worker: Python 3.11 fails now and then when two threads
build syntax trees ("recursion depth mismatch").
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.client import Account, Api
from tests.fixtures.possessions import everything

ROOT = Path(__file__).parents[2]


def run_schemathesis(url: str, key: str, *options: str) -> tuple[int, str]:
    """The exit status and the report of one run against the API at `url`."""
    command = [
        sys.executable,
        "-m",
        "schemathesis.cli",
        "--config-file",
        "tests/fixtures/fuzzing.toml",
        "run",
        f"{url}/openapi.json",
        *("--header", f"Authorization: Bearer {key}", *options),
    ]
    environment = os.environ | {
        "SCHEMATHESIS_HOOKS": "tests.fixtures.fuzzing",
        "PYTHONPATH": str(ROOT),
        "NO_COLOR": "1",
    }
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, cwd=ROOT)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def filled(account: Account) -> Account:
    """A tenant with one of each thing."""
    everything(account)
    return account


class TestFuzzing:
    def test_briefly(self, api: Api, filled: Account) -> None:
        """The edges of every schema on SQLite; random data and sequences of requests on PostgreSQL."""
        sqlite = api.database.engine.dialect.name == "sqlite"
        phases = "examples,coverage" if sqlite else "examples,fuzzing,stateful"
        options = ("--phases", phases, "--max-examples", "2", "--seed", "1", "--no-shrink")
        status, report = run_schemathesis(api.url, filled.key, *options)
        assert status == 0, report

    @pytest.mark.slow
    @pytest.mark.timeout(1500)
    def test_at_length(self, api: Api, filled: Account) -> None:
        """Some 9,000 requests each; 80 examples took busy cores 9 minutes, at a load of 16 24."""
        options = ("--max-examples", "50", "--no-shrink")
        status, report = run_schemathesis(api.url, filled.key, *options)
        assert status == 0, report
