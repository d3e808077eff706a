"""What a runner process does for each kind of job. Imported by `worker.runner` only: these import torch."""

from collections.abc import Callable, Iterator
from typing import Any

from core.reports import AnyReport, RunnerInput
from worker.runners import check, compose, evaluate, extract, import_model, importing, sweep, train

ShouldStop = Callable[[], bool]
Run = Callable[[RunnerInput, Any, ShouldStop], Iterator[AnyReport]]
# Each takes (input, its own spec class, should_stop) and yields reports, the last one a ResultReport.
RUNNERS: dict[str, Run] = {
    "train": train.run,
    "extract": extract.run,
    "compose": compose.run,
    "evaluate": evaluate.run,
    "sweep": sweep.run,
    "import": importing.run,
    "import_model": import_model.run,
}
# The same for a check, whose last report is a CheckedReport.
CHECK: Run = check.run
