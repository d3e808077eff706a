"""How fast training, extraction and modules are: `python -m benchmarks.speed [--quick]`.

Four ratios, each measured in one run with its parts taken in turn, on random images of CIFAR-10's shape:

- step: a modular training step / a standard one, the default recipe first (goal: at most 1.10)
- loader: images per second of our training / of a loop over a torchvision data set with PIL transforms and a
  DataLoader, in float32, with the same network and losses (goal: at least 5 on a GPU, 1.3 on a processor)
- extraction: seconds to derive and cut one module of each class from stored statistics (goal: below 1)
- latency: speed-up of a module / its saving of operations (goal: at least 0.8)

Written to benchmarks/results as dated JSON with the machine and its load.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.cut import RESULTS, machine
from core.approaches import create_approach
from core.architectures import create
from core.catalog import DATASETS
from core.datasets import ImageData, ImageSplit
from core.devices import deterministic_algorithms, resolve_device
from core.evaluation import multiply_accumulates
from core.masks import ModuleMask
from core.specs import ApproachSpec, CleaveSpec, MwtSpec, NemoSpec, StandardSpec, TrainSpec
from core.statistics import ClassStatistics
from core.surgery.extraction import CutPlan, extract
from core.surgery.masking import recorded_masks, remove_generators
from core.surgery.streams import stream_groups
from core.trainer import Trainer
from core.units import find_units

CIFAR = DATASETS["cifar10"]
WARM_UP = 5  # on a GPU a step is captured after three
Row = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """What is measured.

    Attributes:
        precision: of our trainings; the usual loop computes in float32.
        workers: of the DataLoader.
        repeats: timed steps of each kind.
    """

    batch_size: int
    precision: str
    workers: int
    repeats: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="small_cnn only, few repeats")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--repeats", type=int, help="timed steps of each kind; default: 12, quick: 4")
    parser.add_argument(
        "--precision", choices=["auto", "float32", "bfloat16"], default="auto", help="of ours"
    )
    parser.add_argument("--workers", type=int, default=2, help="of the DataLoader")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    names = ["small_cnn"] if options.quick else ["small_cnn", "vgg16", "resnet18"]
    repeats = options.repeats or (4 if options.quick else 12)
    settings = Settings(options.batch_size, options.precision, options.workers, repeats)
    device = resolve_device("auto")
    load = os.getloadavg()[0]
    rows: list[Row] = []
    for row in measure(names, settings, device):
        rows.append(row)
        print(" ".join(f"{key}={_short(value)}" for key, value in row.items()), flush=True)
    form = "" if options.precision == "auto" else f"-{options.precision}"
    form += "-quick" if options.quick else ""
    path = options.output / f"{datetime.now(UTC):%Y-%m-%d}-speed{form}.json"
    about = machine() | {"device": str(device), "load_before": load}
    path.write_text(
        json.dumps({"machine": about, "settings": asdict(settings), "rows": rows}, indent=2) + "\n"
    )
    print(f"written to {path}")


def measure(names: list[str], settings: Settings, device: torch.device) -> Iterator[Row]:
    # A GPU is given steps faster than it takes them: what counts is how long many take.
    chunk = 25 if device.type == "cuda" else 1
    steps = max(chunk, settings.repeats + WARM_UP) * (4 if chunk > 1 else 1)
    data = random_data(settings.batch_size * steps)
    for name in names:
        yield step_ratio(name, data, settings, chunk, device)
    for name in names:
        yield loader_ratio(name, data, settings, device)
    yield extraction_seconds(names[-1])
    for keep in (0.5, 0.25):
        yield latency_ratio(names[-1], keep, settings.repeats, device)


def random_data(size: int) -> ImageData:
    """Random pixels and labels: a step's time does not depend on what they show."""
    random = torch.Generator().manual_seed(0)

    def split(count: int) -> ImageSplit:
        shape = (count, *CIFAR.input_shape)
        images = torch.randint(0, 256, shape, generator=random, dtype=torch.uint8)
        return ImageSplit(images, torch.randint(0, 10, (count,), generator=random))

    return ImageData.of(CIFAR, split(size), split(2), split(2))


def trainer_of(
    name: str, approach: ApproachSpec, data: ImageData, settings: Settings, device: torch.device
) -> Trainer:
    values = {"architecture": name, "dataset": "cifar10", "batch_size": settings.batch_size, "seed": 0}
    values |= {"precision": settings.precision}
    spec = TrainSpec.model_validate(values | {"approach": approach})
    return Trainer(spec, data, device)


def timed_steps(trainer: Trainer, count: int, device: torch.device) -> float:
    """Seconds of `count` steps of a running trainer, drawing the batches included."""
    trainer.step = 0
    drawn = trainer.remaining_batches()
    start = now(device)
    for _ in range(count):
        trainer.train_on(*next(drawn))
    return now(device) - start


def step_ratio(name: str, data: ImageData, settings: Settings, chunk: int, device: torch.device) -> Row:
    """`chunk`: steps in each measurement."""
    approaches: dict[str, ApproachSpec] = {
        "standard": StandardSpec(),
        "cleave": CleaveSpec(),
        "mwt": MwtSpec(),
        "nemo": NemoSpec(),
    }
    trainers = {key: trainer_of(name, spec, data, settings, device) for key, spec in approaches.items()}
    seconds: dict[str, list[float]] = {key: [] for key in trainers}
    with deterministic_algorithms(device, enabled=True), ExitStack() as running:
        for trainer in trainers.values():
            running.enter_context(trainer.running())
            timed_steps(trainer, WARM_UP, device)
        for _ in range(settings.repeats):  # in turn: what else the machine does slows all of them alike
            for key, trainer in trainers.items():
                seconds[key].append(timed_steps(trainer, chunk, device) / chunk)
    median = {key: statistics.median(values) for key, values in seconds.items()}
    # Of steps that follow each other: the load changes slower than that.
    pairs = {key: [a / b for a, b in zip(seconds[key], seconds["standard"], strict=True)] for key in trainers}
    ratios = {f"{key} / standard": statistics.median(pairs[key]) for key in ("cleave", "mwt", "nemo")}
    return {"what": "step", "architecture": name} | {f"{k} ms": 1e3 * v for k, v in median.items()} | ratios


class PilImages(Dataset[tuple[Tensor, int]]):
    """Images as torchvision's data sets hand them out: PIL, transformed one by one."""

    def __init__(self, split: ImageSplit) -> None:
        from torchvision import transforms

        self.images, self.labels = split.images.permute(0, 2, 3, 1).numpy(), split.labels.tolist()
        steps = [
            transforms.RandomCrop(32, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
        ]
        self.transform = transforms.Compose([*steps, transforms.Normalize(CIFAR.mean, CIFAR.std)])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        from PIL import Image

        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


def loader_epoch(name: str, data: ImageData, batch: int, workers: int, device: torch.device) -> float:
    """Seconds of one epoch of NeMo in the usual style: DataLoader, float32, default layout, plain SGD."""
    approach = create_approach(NemoSpec())
    network = approach.attach(create(name, 10, CIFAR.input_shape), 10).to(device).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    loader = DataLoader(PilImages(data.train), batch, shuffle=True, num_workers=workers, prefetch_factor=2)
    batches = iter(loader)
    first = [next(batches)]  # the workers have started
    with recorded_masks(network) as masks:
        start = now(device)
        for images, labels in chain(first, batches):
            target = labels.to(device)
            loss = approach.loss(network(images.to(device)), masks, target).total
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimizer.step()
        return now(device) - start


def loader_ratio(name: str, data: ImageData, settings: Settings, device: torch.device) -> Row:
    trainer = trainer_of(name, NemoSpec(), data, settings, device)
    ours, theirs = [], []
    with trainer.running():
        timed_steps(trainer, WARM_UP, device)
        for _ in range(2):
            theirs.append(loader_epoch(name, data, settings.batch_size, settings.workers, device))
            ours.append(timed_steps(trainer, trainer.steps_per_epoch, device))
    speed = {"ours images/s": len(data.train) / min(ours), "loader images/s": len(data.train) / min(theirs)}
    return {"what": "loader", "architecture": name} | speed | {"ratio": min(theirs) / min(ours)}


def extraction_seconds(name: str) -> Row:
    """All classes' modules from statistics in which each class fires a third of the neurons often."""
    approach, random = create_approach(NemoSpec()), torch.Generator().manual_seed(0)
    network = approach.attach(create(name, 10, CIFAR.input_shape), 10).eval()
    firing = {u.name: 150 * torch.rand(10, u.width, generator=random).double() for u in find_units(network)}
    stored = ClassStatistics(torch.full((10,), 100.0).double(), firing, firing)
    start = time.perf_counter()
    masks = [approach.derive(stored, [index], 0.9).mask for index in range(10)]
    derived = time.perf_counter()
    plan = CutPlan(network, CIFAR.input_shape)
    for index, mask in enumerate(masks):
        plan.extract(mask, classes=[index])
    end = time.perf_counter()
    times = {"derive s": derived - start, "cut s": end - derived, "all classes s": end - start}
    return {"what": "extraction", "architecture": name, "classes": 10} | times


def latency_ratio(name: str, keep: float, repeats: int, device: torch.device) -> Row:
    """Static modules, 32 images at a time.

    Their neurons are random, but for residual streams: those hold the same ones everywhere, as the default
    recipe trains them.
    """
    modular = create_approach(NemoSpec()).attach(create(name, 10, CIFAR.input_shape), 10).eval()
    full = remove_generators(modular)
    random = torch.Generator().manual_seed(0)
    kept = {
        u.name: torch.randperm(u.width, generator=random) < max(1, keep * u.width) for u in find_units(full)
    }
    for group in stream_groups(full):
        kept |= dict.fromkeys(group, kept[group[0]])
    module = extract(full, ModuleMask(kept), classes=range(10), input_shape=CIFAR.input_shape).network.eval()
    saved = multiply_accumulates(full, CIFAR.input_shape) / multiply_accumulates(module, CIFAR.input_shape)
    images = torch.randn(32, *CIFAR.input_shape, device=device)
    whole, part = _latencies([full.to(device), module.to(device)], images, repeats)
    row = {
        "what": "latency",
        "architecture": name,
        "keep": keep,
        "full ms": 1e3 * whole,
        "module ms": 1e3 * part,
    }
    return row | {"speed-up": whole / part, "FLOPs saving": saved, "ratio": whole / part / saved}


@torch.inference_mode()
def _latencies(networks: list[nn.Module], images: Tensor, repeats: int) -> list[float]:
    def seconds(work: Callable[[Tensor], object]) -> float:
        start = now(images.device)
        work(images)
        return now(images.device) - start

    rounds = [[seconds(network) for network in networks] for _ in range(WARM_UP + repeats)][WARM_UP:]
    return [statistics.median(column) for column in zip(*rounds, strict=True)]


def now(device: torch.device) -> float:
    """The clock, when the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
