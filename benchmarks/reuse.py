"""Accuracy of compositions of every size, without retraining: `python -m benchmarks.reuse`.

Trains small_cnn on digits with each approach, then composes subsets of 2 to 10 classes (seeded random ones,
or all 1,013) in each form and compares them with the full model restricted to the same classes, on the test
split. Written to benchmarks/results as dated JSON with the machine.
"""

import argparse
import json
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from torch import fx

from benchmarks.cut import RESULTS, machine
from core.approaches import create_approach
from core.composition.union import ModuleOptions, build_module
from core.datasets import ImageData, batches, load_dataset
from core.evaluation import parameter_count, positions, predict
from core.specs import TrainSpec
from core.statistics import ClassStatistics
from core.training import train

CPU = torch.device("cpu")
THRESHOLD = 0.9
FORMS = ("static", "static + amplitudes", "gated")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, action="append", help="default: 0")
    parser.add_argument(
        "--subsets", type=int, default=5, help="random subsets of each size; 0 = every subset"
    )
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    rows = []
    for approach in ("nemo", "mwt"):
        for seed in options.seed or [0]:
            for row in measure(approach, seed, options.epochs, options.subsets):
                rows.append(row)
                print(" ".join(f"{key}={value}" for key, value in row.items()), flush=True)
    worst = max(row["worst gated loss"] for row in rows)
    print(f"worst loss of a gated composition against the restricted full model: {worst} points")
    name = "reuse" if options.subsets else "reuse-every-subset"
    path = options.output / f"{datetime.now(UTC):%Y-%m-%d}-{name}.json"
    settings = {
        "epochs": options.epochs,
        "subsets": options.subsets,
        "batch_size": 32,
        "threshold": THRESHOLD,
    }
    path.write_text(json.dumps({"machine": machine(), "settings": settings, "rows": rows}, indent=2) + "\n")
    print(f"written to {path}")


def measure(approach: str, seed: int, epochs: int, subsets: int) -> Iterator[dict[str, Any]]:
    """One row per composition size: mean test accuracy (%) of each form over the subsets."""
    spec = TrainSpec.model_validate(
        {
            "architecture": "small_cnn",
            "dataset": "digits",
            "approach": {"name": approach},
            "epochs": epochs,
            "batch_size": 32,
            "seed": seed,
        }
    )
    data, start = load_dataset("digits", None), time.perf_counter()
    network = _train(spec, data)
    seconds = time.perf_counter() - start
    every = batches(data.train, data.info, 256, device=CPU)
    statistics = create_approach(spec.approach).statistics(network, every, len(data.info.class_names))
    for size in range(2, 11):
        chosen = _subsets(size, subsets, seed)
        points = [_accuracies(network, data, statistics, spec, classes) for classes in chosen]
        mean = {key: round(sum(p[key] for p in points) / len(points), 2) for key in points[0]}
        loss = max(p["restricted"] - p["gated"] for p in points)
        yield {
            "approach": approach,
            "seed": seed,
            "train seconds": round(seconds, 1),
            "classes": size,
            "subsets": len(chosen),
            **mean,
            "worst gated loss": round(loss, 2),
        }


def _train(spec: TrainSpec, data: ImageData) -> fx.GraphModule:
    with tempfile.TemporaryDirectory() as folder:
        run = train(
            spec, data, device=CPU, checkpoint_dir=Path(folder), resume=None, should_stop=lambda: False
        )
        while True:
            try:
                next(run)
            except StopIteration as end:
                network: fx.GraphModule = end.value
                return network


def _subsets(size: int, count: int, seed: int) -> list[list[int]]:
    if count == 0:
        return [list(classes) for classes in combinations(range(10), size)]
    draw = random.Random(1000 * seed + size)
    found = {tuple(sorted(draw.sample(range(10), size))) for _ in range(count)}
    return [list(classes) for classes in sorted(found)]


def _accuracies(
    network: fx.GraphModule,
    data: ImageData,
    statistics: ClassStatistics,
    spec: TrainSpec,
    classes: Sequence[int],
) -> dict[str, float]:
    """Percent right on the test images of `classes`, and the size of the gated composition."""
    part, shape = data.test.restricted(classes), data.info.input_shape
    target = positions(part.labels, classes)
    mask = create_approach(spec.approach).derive(statistics, classes, THRESHOLD).mask
    options = (
        ModuleOptions("static"),
        ModuleOptions("static", statistics.mean_amplitudes(classes)),
        ModuleOptions("gated"),
    )
    right = predict(network, part, data.info, CPU)[:, classes].argmax(dim=1) == target
    answer = {"restricted": 100 * right.double().mean().item()}
    for form, option in zip(FORMS, options, strict=True):
        module = build_module(network, mask, classes, shape, option).network.eval()
        right = predict(module, part, data.info, CPU).argmax(dim=1) == target
        answer[form] = 100 * right.double().mean().item()
    # The last one built is the gated form.
    answer["gated parameters %"] = 100 * parameter_count(module) / parameter_count(network)
    answer["retention %"] = 100 * mask.retention_rate()
    return answer


if __name__ == "__main__":
    main()
