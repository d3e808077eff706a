"""Tiny real trainings for tests: three epochs of three steps, stopped where a test wants."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx

from core.datasets import ImageData
from core.errors import Interrupted
from core.reports import AnyReport, CheckpointReport, MetricReport
from core.results import MetricValue
from core.specs import ApproachSpec, NemoSpec, TrainSpec
from core.training import train

CPU = torch.device("cpu")


def spec_of(approach: ApproachSpec | None = None, **changes: Any) -> TrainSpec:
    """Three epochs of three steps: 96 images, batches of 32; in float32, whatever the processor has."""
    values: dict[str, Any] = {"epochs": 3, "batch_size": 32, "max_train_samples": 96, "seed": 7}
    values |= {"precision": "float32"} | changes
    return TrainSpec(architecture="small_cnn", dataset="digits", approach=approach or NemoSpec(), **values)


@dataclass
class Run:
    """Everything a training yielded, and its network unless it was interrupted."""

    reports: list[AnyReport] = field(default_factory=list)
    network: fx.GraphModule | None = None

    def of(self, kind: type[Any]) -> list[Any]:
        return [report for report in self.reports if isinstance(report, kind)]

    @property
    def metrics(self) -> list[MetricValue]:
        return [metric for report in self.of(MetricReport) for metric in report.metrics]

    @property
    def state(self) -> dict[str, Tensor]:
        assert self.network is not None
        return self.network.state_dict()


def run(spec: TrainSpec, data: ImageData, folder: Path, **options: Any) -> Run:
    result, stop = Run(), options.get("should_stop", lambda: False)
    reports = train(
        spec,
        data,
        device=CPU,
        checkpoint_dir=folder,
        resume=options.get("resume"),
        should_stop=stop,
        teacher=options.get("teacher"),
        initial=options.get("initial"),
    )
    while True:
        try:
            result.reports.append(next(reports))
        except StopIteration as finished:
            result.network = finished.value
            return result
        except Interrupted:
            return result


def after(steps: int) -> Callable[[], bool]:
    """A stop request that comes at the given step of this run."""
    asked = iter(range(1, 10_000))
    return lambda: next(asked) >= steps


def last_checkpoint(stopped: Run) -> CheckpointReport:
    """The last report of a stopped run."""
    report = stopped.reports[-1]
    assert isinstance(report, CheckpointReport)
    return report
