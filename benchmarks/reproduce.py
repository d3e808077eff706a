"""Every method on the same data, cut into the same compositions: `python -m benchmarks.reproduce`.

For each (approach, architecture, dataset, seed) of `--scale`: trains, derives modules, composes the same
seeded subsets of 2 to 10 classes in every form, without retraining (the first seed also with), and measures
on test data. A training stops when `--budget-s` is used up and the next call continues it; finished runs are
kept in `--work` and not repeated. Figures and pictures go to benchmarks/results, the page to docs/results.md.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.cut import RESULTS, machine
from benchmarks.report import write_report

APPROACHES: dict[str, dict[str, Any]] = {
    "standard": {"name": "standard"},
    "MwT": {"name": "mwt", "recipe": "published"},
    "NeMo": {"name": "nemo", "recipe": "published"},
    "MODA": {"name": "moda", "recipe": "published"},
    "cleave": {"name": "nemo", "recipe": "cleave"},
    # Of VGG16 only: one class of it in 2.5 % of its parameters.
    "cleave-0.09": {"name": "nemo", "recipe": "cleave", "retention": 0.09},
    # As small as NeMo's modules, and as accurate as MODA's.
    "cleave-0.15": {"name": "nemo", "recipe": "cleave", "retention": 0.15},
    "cleave-0.6": {"name": "nemo", "recipe": "cleave", "retention": 0.6},
}


@dataclass(frozen=True)
class Scale:
    """How much is done.

    Attributes:
        pairs: (architecture, dataset).
        test_samples: the first so many test images; None = all.
        subsets: random subsets of each composition size.
        retrain_epochs: of the first seed's static compositions.
    """

    pairs: tuple[tuple[str, str], ...]
    epochs: int
    batch_size: int
    train_samples: int | None
    test_samples: int | None
    seeds: int
    subsets: int
    retrain_epochs: int


SCALES = {
    "digits": Scale(
        (("small_cnn", "digits"),),
        epochs=20, batch_size=32, train_samples=None, test_samples=None, seeds=3, subsets=20,
        retrain_epochs=5,
    ),
    "small": Scale(
        (("small_cnn", "fashion_mnist"), ("small_cnn", "cifar10")),
        epochs=6, batch_size=128, train_samples=12_800, test_samples=2_000, seeds=3, subsets=3,
        retrain_epochs=1,
    ),
    "cifar10": Scale(
        (("vgg16", "cifar10"), ("resnet18", "cifar10"), ("mobilenet", "cifar10")),
        epochs=200, batch_size=128, train_samples=None, test_samples=None, seeds=3, subsets=3,
        retrain_epochs=0,
    ),
    "full": Scale(
        (("vgg16", "cifar10"), ("resnet18", "cifar10"), ("mobilenet", "cifar10"), ("vgg16", "svhn"),
         ("resnet18", "svhn")),
        epochs=200, batch_size=128, train_samples=None, test_samples=None, seeds=1, subsets=20,
        retrain_epochs=10,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One training and everything measured on it."""

    scale: str
    approach: str
    architecture: str
    dataset: str
    seed: int
    epochs: int

    @property
    def name(self) -> str:
        """Of its files in the work folder, too: another number of epochs is another run."""
        epochs = "" if self.epochs == SCALES[self.scale].epochs else f"-{self.epochs}epochs"
        return f"{self.scale}-{self.architecture}-{self.dataset}-{self.approach}-{self.seed}{epochs}"

    def spec(self) -> dict[str, Any]:
        """The training's spec."""
        scale = SCALES[self.scale]
        return {
            "architecture": self.architecture,
            "dataset": self.dataset,
            "approach": APPROACHES[self.approach],
            "epochs": self.epochs,
            "batch_size": scale.batch_size,
            "max_train_samples": scale.train_samples,
            "seed": self.seed,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--scale", choices=SCALES, default="small")
    parser.add_argument(
        "--work", type=Path, default=Path("build/reproduce"), help="finished and stopped runs"
    )
    parser.add_argument("--data-root", type=Path, default=os.environ.get("CLEAVE_DATA_ROOT"))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs side by side")
    parser.add_argument("--budget-s", type=float, help="stop after so many seconds; the next call goes on")
    parser.add_argument("--partial", action="store_true", help="report what is finished, and what is not")
    parser.add_argument(
        "--only", action="append", help="only cases whose name this (or this) expression finds"
    )
    parser.add_argument("--epochs", type=int, help="default: the scale's")
    options = parser.parse_args()
    if options.data_root is None and options.scale != "digits":
        parser.error("name the folder of the datasets: --data-root or CLEAVE_DATA_ROOT")
    wanted = [
        case
        for case in cases(options.scale, options.epochs)
        if options.only is None or any(re.search(part, case.name) for part in options.only)
    ]
    end = None if options.budget_s is None else time.time() + options.budget_s
    options.work.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(lambda case: _run_apart(case, options.work, options.data_root, end), wanted))
    rows = [
        json.loads(path.read_text()) for case in wanted if (path := row_path(options.work, case)).exists()
    ]
    print(f"{len(rows)} of {len(wanted)} runs are finished")
    missing = [case.name for case in wanted if not row_path(options.work, case).exists()]
    if rows and (options.partial or not missing):
        settings = asdict(SCALES[options.scale])
        about = machine() | {"threads": int(_threads())}
        content = {"machine": about, "scale": options.scale, "settings": settings, "rows": rows}
        content["missing"] = ", ".join(missing)
        stem = f"{datetime.now(UTC):%Y-%m-%d}-reproduce-{options.scale}"
        (RESULTS / f"{stem}.json").write_text(json.dumps(content, indent=1) + "\n")
        for path in write_report(content, RESULTS / stem):
            print(f"written: {path}")


def cases(scale: str, epochs: int | None = None) -> list[Case]:
    """Seed by seed, so that an interrupted benchmark has whole seeds."""
    chosen = SCALES[scale]
    return [
        Case(scale, approach, architecture, dataset, seed, epochs or chosen.epochs)
        for seed in range(chosen.seeds)
        for architecture, dataset in chosen.pairs
        for approach in APPROACHES
        if approach != "cleave-0.09" or architecture == "vgg16"
    ]


def row_path(work: Path, case: Case) -> Path:
    return work / f"{case.name}.json"


def _run_apart(case: Case, work: Path, data_root: Path | None, end: float | None) -> None:
    """In a process with one thread: runs side by side must not compete for cores."""
    left = None if end is None else end - time.time()
    if row_path(work, case).exists() or (left is not None and left <= 0):
        return
    command = [
        sys.executable,
        "-m",
        "benchmarks.reuse_of_one",
        json.dumps(asdict(case)),
        str(work),
        str(data_root or ""),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": _threads(), "OMP_WAIT_POLICY": "PASSIVE"}
    subprocess.run(command + ([] if left is None else [str(left)]), env=environment, check=True)


def _threads() -> str:
    """Of each run."""
    return os.environ.get("OMP_NUM_THREADS", "1")


if __name__ == "__main__":
    main()
