"""Only runners load torch: a supervisor that did could not fork safely, an API would be slow to start."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module",
    ["worker.app", "worker.tasks", "worker.runner", "service.app", "service.dispatcher", "service.processes"],
)
def test_importing_it_loads_no_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
