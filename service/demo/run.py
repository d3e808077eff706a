"""The demo from start to end: what `cleave demo` and `make demo` run."""

import json
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console

from service.cli.progress import job_bars
from service.client import CleaveClient, CleaveError
from service.demo import report
from service.demo.embedded import EmbeddedService, embedded_service, log_tail
from service.demo.outcome import ApproachOutcome, Stopwatch, as_json, promises
from service.demo.plan import DATASET, Plan
from service.demo.plots import draw_all
from service.demo.scenario import Scenario
from service.demo.standalone import export_images


def run_demo(output: Path, plan: Plan, keep: bool, console: Console) -> bool:
    """Run the demo and print what it found; True when every promise holds.

    Args:
        output: Folder for downloads, plots and demo.json.
        keep: Leave the service's data (database, artifacts, log) in `output`/service.

    Raises:
        CleaveError: A step failed. The service is stopped all the same.
    """
    output.mkdir(parents=True, exist_ok=True)
    watch = Stopwatch(lambda name, seconds: console.print(f"{name}: {seconds:.1f} s", highlight=False))
    with _stop_on_sigterm(), ExitStack() as stack:
        if keep:
            data_dir = output / "service"
        else:
            data_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cleave-demo-")))
        outcomes = _use_service(data_dir, output, plan, watch, console)
    with watch.step("draw the plots"):
        plots = draw_all(outcomes, output / "plots")
    found = promises(outcomes)
    (output / "demo.json").write_text(json.dumps(as_json(outcomes, watch), indent=2), encoding="utf-8")
    for outcome in outcomes:
        report.print_modules(console, outcome)
    report.print_compositions(console, outcomes)
    report.print_steps(console, watch)
    report.print_end(console, found, plots, output)
    return all(promise.kept for promise in found)


def _use_service(
    data_dir: Path, output: Path, plan: Plan, watch: Stopwatch, console: Console
) -> list[ApproachOutcome]:
    """Start the service, run every approach through its HTTP API, stop it."""
    with ExitStack() as stack:
        with watch.step("start the service"):
            service = stack.enter_context(embedded_service(data_dir))
        console.print(f"The embedded service listens on {service.url}", highlight=False)
        with watch.step("write the test images"):
            export_images(DATASET, "test", output / "images")
        try:
            return _run_approaches(service, output, plan, watch, console)
        except CleaveError:
            logs = f"The service's logs end:\n{log_tail(service.data_dir)}"
            console.print(logs, markup=False, highlight=False, soft_wrap=True)
            raise


def _run_approaches(
    service: EmbeddedService, output: Path, plan: Plan, watch: Stopwatch, console: Console
) -> list[ApproachOutcome]:
    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    with CleaveClient(service.url, service.api_key) as client, job_bars(console) as add_bar:
        scenario = Scenario(client, plan, output / "images", add_bar, say)
        outcomes = [scenario.run(approach, output, watch) for approach in plan.approaches]
        with watch.step("run all downloaded programs with torch alone"):
            scenario.use(outcomes)
        return outcomes


@contextmanager
def _stop_on_sigterm() -> Iterator[None]:
    """Let SIGTERM unwind the stack as Ctrl-C does, so that the service is stopped."""

    def leave(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a handler
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
