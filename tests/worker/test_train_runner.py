"""The training job stops between batches in every phase, and measures where it trained."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import Interrupted
from core.reports import AnyReport, Progress, RunnerInput
from core.specs import NemoSpec, TrainSpec
from worker.runners.train import run


def stopped_in(phase: str, folder: Path, batch: int) -> tuple[list[AnyReport], int]:
    """A training job asked to stop before the n-th batch of a phase: reports, and how often it asked."""
    spec = TrainSpec(
        architecture="small_cnn",
        dataset="digits",
        approach=NemoSpec(),
        epochs=1,
        batch_size=32,
        device="cpu",
        max_train_samples=160,
    )
    reports: list[AnyReport] = []
    asked = 0

    def should_stop() -> bool:
        nonlocal asked
        phases = [report.phase for report in reports if isinstance(report, Progress)]
        asked += phase in phases
        return asked >= batch

    job = RunnerInput(job_id="job_1", attempt=1, spec={}, staging=str(folder), checkpoints=str(folder))
    with pytest.raises(Interrupted):
        _collect(run(job, spec, should_stop), reports)
    return reports, asked


def _collect(stream: Iterator[AnyReport], reports: list[AnyReport]) -> None:
    for report in stream:
        reports.append(report)  # one by one: whoever asks for a stop reads them meanwhile


@pytest.mark.parametrize(("phase", "batch"), [("statistics", 1), ("statistics", 4), ("evaluate", 2)])
def test_it_stops_between_batches(phase: str, batch: int, tmp_path: Path) -> None:
    """Statistics take five batches of 32, evaluation one of each split."""
    reports, asked = stopped_in(phase, tmp_path, batch)
    assert asked == batch
    last = [report.phase for report in reports if isinstance(report, Progress)][-1]
    assert last == phase
    assert not list(tmp_path.glob("model"))
