"""How statistics, derivation and measures grow with classes and samples: `python -m benchmarks.scale`.

A hundred classes, the units of vgg16 and resnet18 at full width, samples streamed as random masks. For each
network and number of samples, in a process of its own: seconds to sum up the statistics, to derive a module
of every class, for coupling and for cohesion, and the peak of memory beyond what the imports take. Goal:
seconds, and memory that does not grow with the samples: statistics keep sums only, cohesion a fixed number of
samples' masks as bits. Written to benchmarks/results as dated JSON.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.cut import RESULTS, machine
from core.architectures import create
from core.derivation import derive_mask
from core.modularity import Estimate, cohesion, coupling
from core.statistics import StatisticsAccumulator
from core.units import find_units

CLASSES, BATCH = 100, 256
THRESHOLD, FIRING = 0.9, 0.5
SHAPE = (3, 32, 32)
SAMPLES = (5_000, 50_000, 200_000)
ARCHITECTURES = ("vgg16", "resnet18")
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--one", nargs=2, metavar=("ARCHITECTURE", "SAMPLES"), help="measure in this process")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one[0], int(options.one[1]))))
        return
    rows = []
    for name in ARCHITECTURES:
        for samples in SAMPLES:
            command = [sys.executable, "-m", "benchmarks.scale", "--one", name, str(samples)]
            rows.append(
                json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            )
            print(rows[-1], flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / f"{datetime.now(UTC):%Y-%m-%d}-scale.json"
    path.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2) + "\n")
    print(f"written to {path}")


def measure(architecture: str, samples: int, classes: int = CLASSES) -> Row:
    """One row; memory in MiB, time of this process in seconds."""
    widths = {unit.name: unit.width for unit in find_units(create(architecture, classes, SHAPE))}
    before, marks = _peak_mib(), [time.process_time()]
    sums = StatisticsAccumulator(classes)
    for masks, labels in random_masks(widths, samples, classes):
        sums.add(masks, labels)
    statistics = sums.result()
    marks.append(time.process_time())
    modules = {index: derive_mask(statistics, [index], THRESHOLD).mask for index in range(classes)}
    marks.append(time.process_time())
    coupled = coupling(list(modules.values()))
    marks.append(time.process_time())
    alike = cohesion(random_masks(widths, samples, classes), modules)
    marks.append(time.process_time())
    names = ("statistics s", "derivation s", "coupling s", "cohesion s")
    spans = {name: round(b - a, 3) for name, (a, b) in zip(names, pairwise(marks), strict=True)}
    about = {"architecture": architecture, "neurons": sum(widths.values()), "classes": classes}
    mean = Estimate.mean(list(alike.values()))
    figures = {"coupling": coupled, "cohesion": mean.value, "cohesion error": mean.error}
    return about | {"samples": samples} | spans | {"memory MiB": _peak_mib() - before} | figures


def random_masks(
    widths: dict[str, int], samples: int, classes: int
) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
    """Batches in which each class fires its own half of each unit's neurons nearly always, and no other.

    Drawn as they are read, so that nothing but what is measured keeps samples.
    """
    random = torch.Generator().manual_seed(0)
    own = {unit: torch.rand(classes, n, generator=random) < FIRING for unit, n in widths.items()}
    for start in range(0, samples, BATCH):
        labels = torch.arange(start, min(start + BATCH, samples)) % classes
        fires = torch.rand(len(labels), 1, generator=random) < THRESHOLD + 0.05
        yield {unit: (own[unit][labels] & fires).float() for unit in widths}, labels


def _peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
