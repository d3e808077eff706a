"""`python -m core.importing`: reads one line of JSON, writes reports as JSON lines on standard output.

The process limits itself before it looks at the upload. The last line is a result or a failure.
"""

import errno
import json
import sys
import time
from pathlib import Path

from core.errors import CoreError, ImportTooLargeError, StorageFullError
from core.importing.limits import MEMORY_BYTES, limit_this_process
from core.importing.run import run_import
from core.reports import AnyReport, FailureReport, Progress, ResultReport
from core.specs import ImportSpec

_INTERVAL_S = 0.5
# Of the whole import, in percent: where each phase begins, and how much it takes.
_PHASES = {"verify": (0, 5), "look": (5, 25), "convert": (30, 60), "write": (90, 10)}


def main() -> None:
    """Do the import on standard input."""
    job = json.loads(sys.stdin.readline())
    spec = ImportSpec.model_validate(job["spec"])
    limit_this_process(spec.max_bytes)
    try:
        parts = [Path(part) for part in job["parts"]]
        result = run_import(spec, parts, Path(job["staging"]), _Teller())
        _say(ResultReport(result=result))
    except CoreError as error:
        _say(_failure(error))
    except MemoryError:
        limit = f"{MEMORY_BYTES >> 20} MiB"
        _say(_failure(ImportTooLargeError(f"Reading the file takes more than {limit} of memory.")))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        _say(_failure(StorageFullError("The worker has no room for the dataset."), cause="infra"))


class _Teller:
    """Progress, twice a second."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, phase: str, share: float) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _INTERVAL_S
            start, length = _PHASES[phase]
            _say(Progress(phase=phase, step=round(start + length * min(share, 1.0)), total=100))


def _failure(error: CoreError, cause: str = "user") -> FailureReport:
    return FailureReport.model_validate({"code": error.code, "message": str(error)[:1000], "cause": cause})


def _say(report: AnyReport) -> None:
    sys.stdout.write(report.model_dump_json() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
