"""The training job stops between batches in every phase, and measures where it trained."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core.architectures import create
from core.artifacts import RECIPE, WEIGHTS, load_network
from core.datasets import ImageSplit, load_dataset
from core.errors import AnswersNotFiniteError, Interrupted
from core.reports import AnyReport, LogReport, Progress, ResultReport, RunnerInput
from core.results import TrainResult
from core.specs import NemoSpec, TrainSpec
from core.surgery.tracing import trace_copy
from worker.runners import train as runner
from worker.runners.common import CPU
from worker.runners.train import run

SPEC = TrainSpec(
    architecture="small_cnn",
    dataset="digits",
    approach=NemoSpec(),
    epochs=1,
    batch_size=32,
    device="cpu",
    max_train_samples=160,
)


def stopped_in(phase: str, folder: Path, batch: int) -> tuple[list[AnyReport], int]:
    """A training job asked to stop before the n-th batch of a phase: reports, and how often it asked."""
    reports: list[AnyReport] = []
    asked = 0

    def should_stop() -> bool:
        nonlocal asked
        phases = [report.phase for report in reports if isinstance(report, Progress)]
        asked += phase in phases
        return asked >= batch

    job = RunnerInput(job_id="job_1", attempt=1, spec={}, staging=str(folder), checkpoints=str(folder))
    with pytest.raises(Interrupted):
        _collect(run(job, SPEC, should_stop), reports)
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


def test_an_image_without_an_answer_costs_the_figures_and_not_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = load_dataset("digits", None)
    images = data.test.images.float()
    images[3] = torch.nan
    changed = replace(data, test=ImageSplit(images, data.test.labels))
    monkeypatch.setattr(runner, "dataset_of", lambda *_: changed)
    job = RunnerInput(job_id="job_1", attempt=1, spec={}, staging=str(tmp_path), checkpoints=str(tmp_path))
    reports = list(run(job, SPEC, lambda: False))
    last = reports[-1]
    assert isinstance(last, ResultReport)
    assert isinstance(last.result, TrainResult)
    assert {metric.split for metric in last.result.metrics} == {"validation"}
    assert load_network(tmp_path / "model" / RECIPE, tmp_path / "model" / WEIGHTS)
    (told,) = (r.message for r in reports if isinstance(r, LogReport) and "no figures" in r.message)
    assert "on test data: the network's answers to 1 of" in told


def test_a_network_of_which_nothing_can_be_told_is_refused() -> None:
    network = trace_copy(create("small_cnn", 10, (1, 8, 8))).eval()
    network.get_buffer("stem.norm.running_var").fill_(-1.0)
    with pytest.raises(AnswersNotFiniteError):
        list(runner._metrics(network, load_dataset("digits", None), CPU, lambda: False))
