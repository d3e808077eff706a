"""One case of `benchmarks.reproduce`: train (or go on training), cut, measure, write one JSON row."""

import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from benchmarks.reproduce import SCALES, Case, row_path
from core.acceleration import LAYOUT, arithmetic, autocast, evaluation_batch, fast_layout
from core.approaches import Approach, create_approach
from core.architectures import create
from core.composition.union import ModuleOptions, build_module
from core.datasets import BatchPlan, ImageData, batches, draw, load_dataset
from core.devices import resolve_device
from core.errors import Interrupted
from core.evaluation import multiply_accumulates, parameter_count, positions, predict
from core.masks import ModuleMask
from core.modularity import Estimate, cohesion, coupling
from core.specs import DEFAULT_THRESHOLDS, TrainSpec
from core.statistics import ClassStatistics
from core.surgery.masking import has_generators
from core.training import train

RETRAINED_SIZES = (2, 5, 10)
# Published fine-tuning of a cut module: SGD 0.05, momentum 0.9.
RETRAIN_RATE = 0.05


@dataclass(frozen=True)
class Cut:
    """A way to cut a module out: its form, and how often a class must fire a neuron to keep it."""

    options: ModuleOptions
    threshold: float


class Measurement:
    """A trained network and what its modules can do, on test data."""

    def __init__(
        self, spec: TrainSpec, data: ImageData, network: fx.GraphModule, device: torch.device
    ) -> None:
        self.spec, self.data, self.device = spec, data, device
        self.approach: Approach = create_approach(spec.approach)
        drawn = batches(data.train, data.info, evaluation_batch(device), device=device)
        self.classes = len(data.info.class_names)
        self.statistics: ClassStatistics = self.approach.statistics(network.to(device), drawn, self.classes)
        self.network = self.approach.finish(network).to(device).eval()
        self.logits = predict(self.network, data.test, data.info, device)
        self.masks = [self.mask([index]) for index in range(self.classes)]
        self.cohesion: float | None = None
        if has_generators(self.network):
            by_class = cohesion(
                _responses(self.approach, self.network, data, device), dict(enumerate(self.masks))
            )
            self.cohesion = Estimate.mean(list(by_class.values())).value
        standard = _standard(spec, data)
        self.parameters, self.flops = (
            parameter_count(standard),
            multiply_accumulates(standard, data.info.input_shape),
        )

    def mask(self, classes: Sequence[int], threshold: float = DEFAULT_THRESHOLDS["static"]) -> ModuleMask:
        return self.approach.derive(self.statistics, classes, threshold).mask

    def forms(self, classes: Sequence[int]) -> dict[str, Cut]:
        """The forms this network has; only with generators is there more than one."""
        published, wide = DEFAULT_THRESHOLDS["static"], DEFAULT_THRESHOLDS["gated"]
        if not has_generators(self.network):
            return {"static": Cut(ModuleOptions("static"), published)}
        amplitudes = self.statistics.mean_amplitudes(classes)
        return {
            "static": Cut(ModuleOptions("static"), published),
            "static + amplitudes": Cut(ModuleOptions("static", amplitudes), published),
            f"gated, {published}": Cut(ModuleOptions("gated"), published),
            "gated": Cut(ModuleOptions("gated"), wide),
        }

    def cut(self, classes: Sequence[int], how: Cut) -> nn.Module:
        shape = self.data.info.input_shape
        mask = self.mask(classes, how.threshold)
        return build_module(self.network.cpu(), mask, classes, shape, how.options).network.eval()

    def accuracy(self, module: nn.Module, classes: Sequence[int]) -> float:
        part = self.data.test.restricted(classes)
        right = predict(module, part, self.data.info, self.device).argmax(dim=1) == positions(
            part.labels, classes
        )
        return 100 * right.double().mean().item()

    def restricted(self, classes: Sequence[int]) -> float:
        """The full model's accuracy on these classes, among their logits."""
        chosen = torch.isin(self.data.test.labels, torch.tensor(classes))
        right = self.logits[chosen][:, classes].argmax(dim=1) == positions(
            self.data.test.labels[chosen], classes
        )
        return 100 * right.double().mean().item()

    def sizes(self, module: nn.Module) -> dict[str, float]:
        macs = multiply_accumulates(module.cpu(), self.data.info.input_shape)
        return {
            "parameters %": 100 * parameter_count(module) / self.parameters,
            "FLOPs %": 100 * macs / self.flops,
        }

    def one_class(self) -> dict[str, dict[str, float]]:
        """Mean size of the one-class modules in each form."""
        names = list(self.forms([0]))
        return {
            name: _means([self.sizes(self.cut([c], self.forms([c])[name])) for c in range(self.classes)])
            for name in names
        }

    def reuse(self, subsets: Sequence[Sequence[int]]) -> dict[str, dict[str, float]]:
        """Mean over subsets of one size: the full model restricted, and each form."""
        rows: dict[str, list[dict[str, float]]] = {}
        for classes in subsets:
            rows.setdefault("full model", []).append({"accuracy": self.restricted(classes)})
            for name, how in self.forms(classes).items():
                module = self.cut(classes, how)
                accuracy = self.accuracy(module, classes)
                loss = self.restricted(classes) - accuracy
                figures = {"accuracy": accuracy, "loss": loss, **self.sizes(module)}
                rows.setdefault(name, []).append(figures)
        worst = {name: max(row.get("loss", 0.0) for row in found) for name, found in rows.items()}
        return {name: _means(found) | {"worst loss": round(worst[name], 2)} for name, found in rows.items()}

    def retrained(self, classes: Sequence[int], epochs: int) -> dict[str, float]:
        """The static module after fine-tuning on its classes, as the papers do (last epoch kept)."""
        module, seconds = self.cut(classes, self.forms(classes)["static"]), time.perf_counter()
        module.to(self.device, memory_format=LAYOUT)  # type: ignore[call-overload]  # torch's stub lacks it
        part = self.data.train.restricted(classes)
        optimizer = torch.optim.SGD(module.parameters(), lr=RETRAIN_RATE, momentum=0.9, nesterov=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
        for epoch in range(epochs):
            plan = BatchPlan(self.spec.batch_size, epoch, epoch, drop_single=True)
            module.train()
            for images, labels in draw(part, self.data.info, plan, self.device):
                optimizer.zero_grad()
                with autocast(self.device, arithmetic(self.spec.precision, self.device)):
                    logits = module(fast_layout(images))
                wanted = positions(labels.cpu(), classes).to(self.device)
                F.cross_entropy(logits.float(), wanted).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
                optimizer.step()
            schedule.step()
        return {"accuracy": self.accuracy(module.eval(), classes), "seconds": time.perf_counter() - seconds}


def main(case_json: str, work: str, data_root: str, seconds: str | None = None) -> None:
    case, folder = Case(**json.loads(case_json)), Path(work)
    scale, spec = SCALES[case.scale], TrainSpec.model_validate(case.spec())
    data, device = load_dataset(spec.dataset, Path(data_root) if data_root else None), resolve_device("auto")
    start = time.monotonic()
    end = None if seconds is None else start + float(seconds)
    checkpoints = folder / "checkpoints" / case.name
    network = _train(spec, data, device, checkpoints, lambda: end is not None and time.monotonic() > end)
    if network is None:
        print(f"{case.name}: stopped; the next call goes on", flush=True)
        return
    trained = time.monotonic() - start
    if spec.max_train_samples is not None:
        data = replace(data, train=data.train.first(spec.max_train_samples))
    if scale.test_samples is not None:
        data = replace(data, test=data.test.first(scale.test_samples))
    measured = Measurement(spec, data, network, device)
    row = {
        "approach": case.approach, "architecture": case.architecture, "dataset": case.dataset,
        "seed": case.seed,
        "epochs": case.epochs,
        "train seconds (last call)": round(trained, 1),
        "test accuracy": measured.restricted(range(measured.classes)),
        "retention %": 100 * _mean([mask.retention_rate() for mask in measured.masks]),
        "coupling": coupling(measured.masks),
        "cohesion": measured.cohesion,
        "one class": measured.one_class(),
        "reuse": {
            size: measured.reuse(subsets_of(size, measured.classes, scale.subsets)) for size in range(2, 11)
        },
    }  # fmt: skip
    if case.seed == 0 and case.approach != "standard" and scale.retrain_epochs:
        row["retrained"] = {
            size: measured.retrained(subsets_of(size, measured.classes, 1)[0], scale.retrain_epochs)
            for size in RETRAINED_SIZES
        }
    row_path(folder, case).write_text(json.dumps(row, indent=1) + "\n")
    print(f"{case.name}: {row['test accuracy']:.2f} %, {time.monotonic() - start:.0f} s", flush=True)


def subsets_of(size: int, classes: int, number: int) -> list[list[int]]:
    """The same subsets for every case."""
    draws = random.Random(size)
    return [sorted(draws.sample(range(classes), size)) for _ in range(number if size < classes else 1)]


def _train(
    spec: TrainSpec, data: ImageData, device: torch.device, folder: Path, should_stop: Callable[[], bool]
) -> fx.GraphModule | None:
    folder.mkdir(parents=True, exist_ok=True)
    stored = sorted(folder.glob("*.safetensors"), key=lambda path: path.stat().st_mtime)
    resume = stored[-1] if stored else None
    run = train(spec, data, device=device, checkpoint_dir=folder, resume=resume, should_stop=should_stop)
    for _ in count():
        try:
            next(run)
        except StopIteration as end:
            network: fx.GraphModule = end.value
            return network
        except Interrupted:
            break
    return None


def _responses(approach: Approach, network: fx.GraphModule, data: ImageData, device: torch.device) -> Any:
    with torch.no_grad(), approach.recorded(network) as masks:
        for images, labels in batches(data.train.first(4000), data.info, 512, device=device):
            network(images)
            yield {name: mask.cpu() for name, mask in masks.items()}, labels.cpu()


def _standard(spec: TrainSpec, data: ImageData) -> nn.Module:
    return create(spec.architecture, len(data.info.class_names), data.info.input_shape).eval()


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _means(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    return {key: round(_mean([row[key] for row in rows]), 2) for key in rows[0]}


if __name__ == "__main__":
    main(*sys.argv[1:])
