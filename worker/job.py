"""One job inside the runner: its reports, the last of which says how it ended, whatever happens."""

import logging
from collections.abc import Callable, Iterator

import torch
from pydantic import ValidationError
from structlog.contextvars import bound_contextvars

from core.errors import CoreError, Interrupted
from core.reports import AnyReport, CheckedReport, FailureReport, ResultReport, RunnerInput, StoppedReport
from core.specs import parse_job_spec
from worker.phases import traced
from worker.runners import CHECK, RUNNERS
from worker.staging import no_room

_LOG = logging.getLogger(__name__)
TERMINAL = (ResultReport, CheckedReport, FailureReport, StoppedReport)
_REFUSALS = ("can't allocate memory", "out of memory", "_STATUS_ALLOC_FAILED")


def reports_of(line: bytes, should_stop: Callable[[], bool]) -> Iterator[AnyReport]:
    """Do the job of one input line. Exactly one report of a TERMINAL kind is yielded, as the last."""
    try:
        job = RunnerInput.model_validate_json(line)
    except ValidationError as error:
        yield _failure_of(error)
        return
    with bound_contextvars(**job.log_fields):
        yield from traced(job, _reports(job, should_stop))


def _reports(job: RunnerInput, should_stop: Callable[[], bool]) -> Iterator[AnyReport]:
    try:
        spec = parse_job_spec(job.spec)
        run = CHECK if job.check_only else RUNNERS[spec.kind]
        for report in run(job, spec, should_stop):
            yield report
            if isinstance(report, TERMINAL):
                return
        yield _failure("no_result", "The runner ended without a result.", "internal")
    except Interrupted:
        yield StoppedReport()
    except Exception as error:  # noqa: BLE001 - the edge of the runner: whatever it is, the job must be told
        yield _failure_of(error)


def _failure_of(error: Exception) -> FailureReport:
    refusal = _refused_memory(error)
    if refusal is None and isinstance(error, CoreError):
        return _failure(error.code, str(error), "user")
    _LOG.error("job failed", exc_info=error)
    if refusal is not None:
        return _failure("out_of_memory", f"Not enough memory: {_first_line(refusal)}.", "oom")
    if no_room(error):
        return _failure("storage_full", "The worker has no room for what is being written.", "infra")
    if isinstance(error, OSError):
        told = error.strerror or type(error).__name__
        return _failure("disk_unavailable", f"The worker cannot read or write a file: {told}.", "infra")
    return _failure("internal_error", f"{type(error).__name__}; the worker's log has more.", "internal")


def _refused_memory(error: BaseException | None) -> BaseException | None:
    """The refusal behind an error: torch has a class for a full GPU only, the rest is told in words."""
    while error is not None:
        if isinstance(error, MemoryError | torch.OutOfMemoryError):
            return error
        if isinstance(error, RuntimeError) and any(words in str(error) for words in _REFUSALS):
            return error
        error = error.__cause__
    return None


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300].rstrip(".")


def _failure(code: str, message: str, cause: str) -> FailureReport:
    return FailureReport.model_validate({"code": code, "message": message, "cause": cause})
