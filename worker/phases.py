"""The spans of a runner: one for its job, and within it one for each phase that it reports."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack

from core.reports import AnyReport, FailureReport, Progress, RunnerInput
from service.platform import tracing


def traced(job: RunnerInput, reports: Iterable[AnyReport]) -> Iterator[AnyReport]:
    """The same reports, with a span around all and one around each phase."""
    phase = ""
    with tracing.span(f"run {job.spec.get('kind')}", parent=job.traceparent), ExitStack() as span:
        tracing.note({"cleave.job.id": job.job_id, "cleave.attempt": job.attempt})
        for report in reports:
            if isinstance(report, Progress) and report.phase != phase:
                span.close()
                phase = report.phase
                span.enter_context(tracing.span(phase))
            elif isinstance(report, FailureReport):
                span.close()
                tracing.fail(report.code)
            yield report
