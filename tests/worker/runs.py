"""Jobs run in this process by the real runners, and what a test recomputes from the files they wrote."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx

from core.approaches import create_approach
from core.artifacts import StoredNetwork, load_network, load_tensors
from core.composition.union import ModuleOptions, prepare
from core.datasets import ImageData, ImageSplit, load_dataset, normalise
from core.masks import ModuleMask
from core.reports import ResultReport, RunnerInput
from core.results import ExtractResult, FileRef, MetricValue, TrainResult
from core.specs import (
    ApproachSpec,
    ExtractSpec,
    ModuleForm,
    TrainSpec,
)
from core.statistics import ClassStatistics
from core.surgery.masking import hard_masked
from worker.runners import RUNNERS

GROUPS = [["3"], ["5"], ["1", "7"]]
THRESHOLD = 0.8


def work(spec: Any, folder: Path, files: dict[str, str] | None = None) -> Any:
    """Run a job in this process; its result."""
    folder.mkdir(parents=True)
    job = RunnerInput(
        job_id="job_1", attempt=1, spec={}, staging=str(folder), checkpoints=str(folder), files=files or {}
    )
    *_, last = RUNNERS[spec.kind](job, spec, lambda: False)
    assert isinstance(last, ResultReport)
    return last.result


def stored(files: Sequence[FileRef], folder: Path) -> dict[str, str]:
    return {file.role: str(folder / file.path) for file in files}


def network_of(files: dict[str, str]) -> StoredNetwork:
    return load_network(Path(files["recipe"]), Path(files["weights"]))


def logits_of(network: fx.GraphModule, part: ImageSplit, data: ImageData) -> Tensor:
    with torch.no_grad():
        logits: Tensor = network(normalise(part.images, data.info))
    return logits


def figure(metrics: Sequence[MetricValue], name: str, split: str, class_name: str | None = None) -> float:
    found = [m.value for m in metrics if (m.name, m.split, m.class_name) == (name, split, class_name)]
    assert len(found) == 1
    return found[0]


@dataclass
class Trained:
    """A trained model, its files, and the modules cut out of it."""

    folder: Path
    result: TrainResult
    data: ImageData

    def __post_init__(self) -> None:
        self.files = stored(self.result.files, self.folder / "train")
        self.model = network_of(self.files)
        self.statistics = ClassStatistics.from_tensors(load_tensors(Path(self.files["statistics"])))

    def extract(self, form: ModuleForm, **changes: Any) -> ExtractResult:
        values = {"classes": GROUPS, "threshold": THRESHOLD, "formats": ["safetensors"], **changes}
        spec = ExtractSpec(model_id="mdl_1", form=form, **values)
        result = work(spec, self.folder / form, self.files)
        assert isinstance(result, ExtractResult)
        return result

    def mask(self, classes: Sequence[int]) -> ModuleMask:
        """The mask that the stored statistics give for these classes."""
        approach = create_approach(self.model.recipe.approach)
        return approach.derive(self.statistics, classes, THRESHOLD).mask

    def amplitudes(self, classes: Sequence[int]) -> dict[str, Tensor]:
        """By hand: the mean mask value over the firing samples of exactly these classes."""
        means = {}
        for unit, total in self.statistics.amplitude.items():
            times = sum((self.statistics.firing[unit][c] for c in classes), torch.tensor(0.0))
            mean = sum((total[c] for c in classes), torch.tensor(0.0)) / times
            means[unit] = torch.where(times > 0, mean, 1.0).float()
        return means

    def reference(self, form: ModuleForm, mask: ModuleMask, classes: Sequence[int]) -> fx.GraphModule:
        """The whole model, masked, with the amplitudes of `classes` as factors of their own."""
        network = prepare(self.model.network, ModuleOptions(form))
        folds = form == "static"
        return hard_masked(network, mask, self.amplitudes(classes) if folds else None)


def trained(approach: ApproachSpec, folder: Path) -> Trained:
    spec = TrainSpec(
        architecture="small_cnn", dataset="digits", approach=approach, epochs=2, batch_size=32,
        max_train_samples=200, seed=3, device="cpu", precision="float32",
    )  # fmt: skip
    result = work(spec, folder / "train")
    assert isinstance(result, TrainResult)
    return Trained(folder, result, load_dataset("digits", None))


@dataclass
class Modules:
    """One extraction: a module for each of GROUPS."""

    model: Trained
    form: ModuleForm
    result: ExtractResult

    def files(self, number: int) -> dict[str, str]:
        return stored(self.result.modules[number].files, self.model.folder / self.form)
