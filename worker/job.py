"""One job inside the runner: its reports, the last of which says how it ended, whatever happens."""

import logging
from collections.abc import Callable, Iterator

import torch

from core.errors import CoreError, Interrupted
from core.results import AnyReport, FailureReport, ResultReport, RunnerInput, StoppedReport
from core.specs import parse_job_spec
from worker.runners import RUNNERS

_LOG = logging.getLogger(__name__)
TERMINAL = (ResultReport, FailureReport, StoppedReport)


def reports_of(line: bytes, should_stop: Callable[[], bool]) -> Iterator[AnyReport]:
    """Do the job of one input line. Exactly one report of a TERMINAL kind is yielded, as the last."""
    try:
        job = RunnerInput.model_validate_json(line)
        spec = parse_job_spec(job.spec)
        for report in RUNNERS[spec.kind](job, spec, should_stop):
            yield report
            if isinstance(report, TERMINAL):
                return
        yield _failure("no_result", "The runner ended without a result.", "internal")
    except Interrupted:
        yield StoppedReport()
    except CoreError as error:
        yield _failure(error.code, str(error), "user")
    except (MemoryError, torch.OutOfMemoryError) as error:
        _LOG.exception("out of memory")
        yield _failure("out_of_memory", f"Not enough memory: {str(error)[:500]}", "oom")
    except Exception as error:  # noqa: BLE001 - the edge of the runner: whatever it is, the job must be told
        _LOG.exception("job failed")
        yield _failure("internal_error", f"{type(error).__name__}; the worker's log has more.", "internal")


def _failure(code: str, message: str, cause: str) -> FailureReport:
    return FailureReport.model_validate({"code": code, "message": message, "cause": cause})
