"""Reading an upload: in a process of its own, because what callers sent must not touch a warm runner."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping

from core.reports import REPORT_ADAPTER, AnyReport, FailureReport, ResultReport, RunnerInput
from core.specs import ImportSpec
from service.platform.parent_death import bound_command
from worker.runners.common import check_stop, part_paths

# No settings, keys or passwords: of the environment, what Python needs.
_PASSED = ("PATH", "PYTHONPATH", "VIRTUAL_ENV", "LANG", "TZ")
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def run(job: RunnerInput, spec: ImportSpec, should_stop: Callable[[], bool]) -> Iterator[AnyReport]:
    """Relay the reports of the limited process; it is killed when this job is asked to stop."""
    told = {
        "spec": spec.model_dump(mode="json"),
        "parts": [str(path) for path in part_paths(job)],
        "staging": job.staging,
    }
    environment = {name: os.environ[name] for name in _PASSED if name in os.environ} | _ONE_THREAD
    with _started(environment) as process:
        assert process.stdin is not None and process.stdout is not None  # noqa: PT018, S101 - given pipes
        try:
            process.stdin.write(json.dumps(told).encode() + b"\n")
            process.stdin.close()
            for line in process.stdout:
                report = REPORT_ADAPTER.validate_json(line)
                yield report
                if isinstance(report, ResultReport | FailureReport):
                    return
                check_stop(should_stop)
        finally:
            process.kill()
    check_stop(should_stop)
    yield FailureReport(**_death(process.returncode))


def _started(environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    command = bound_command([sys.executable, "-m", "core.importing"])
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(environment))  # noqa: S603 - our own module


def _death(code: int) -> dict[str, str]:
    """What it means that the process ended without a last word."""
    if -code == signal.SIGXCPU:
        return {"code": "import_too_large", "message": "Reading the file takes too long.", "cause": "user"}
    message = f"The importing process ended without a result ({code}); the worker's log may have more."
    return {"code": "internal_error", "message": message, "cause": "internal"}
