"""What cutting costs and what it saves: `python -m benchmarks.cut` (random masks, untrained networks).

For each architecture, form and kept fraction: seconds to cut, parameters and operations left, latency of one
image, and the largest difference from the masked network relative to its largest logit. Written to
benchmarks/results as dated JSON with the machine.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from core.approaches import create_approach
from core.architectures import create, names
from core.catalog import ARCHITECTURES
from core.evaluation import multiply_accumulates, parameter_count
from core.masks import ModuleMask
from core.specs import NemoSpec
from core.surgery.extraction import extract
from core.surgery.masking import hard_masked, remove_generators
from core.units import find_units

RESULTS = Path(__file__).parent / "results"
CLASSES = 10
REPEATS = 15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--architecture", choices=names(), action="append", help="default: each")
    parser.add_argument("--keep", type=float, action="append", help="kept fraction; default: 0.5 and 0.25")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.manual_seed(0)
    rows = []
    for name in options.architecture or names():
        for row in measure_architecture(name, options.keep or [0.5, 0.25]):
            rows.append(row)
            print(" ".join(f"{key}={_short(value)}" for key, value in row.items()), flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / f"{datetime.now(UTC):%Y-%m-%d}-cut.json"
    path.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2) + "\n")
    print(f"written to {path}")


def measure_architecture(name: str, fractions: list[float]) -> list[dict[str, Any]]:
    """One row per form and kept fraction."""
    size = min(32, ARCHITECTURES[name].max_size)  # the papers' size
    shape = (3, size, size)
    model = create(name, CLASSES, shape)
    units = {unit.name: unit.width for unit in find_units(model)}
    gated = create_approach(NemoSpec()).attach(model, CLASSES).eval()
    images = torch.randn(4, *shape)
    rows = []
    for fraction in fractions:
        mask = ModuleMask({unit: _keep(width, fraction) for unit, width in units.items()})
        for form, network in (("gated", gated), ("static", remove_generators(gated).eval())):
            rows.append({"architecture": name, "form": form, "keep": fraction, **_cut(network, mask, images)})
    return rows


def _cut(network: nn.Module, mask: ModuleMask, images: Tensor) -> dict[str, Any]:
    shape = tuple(images.shape[1:])
    start = time.perf_counter()
    module = extract(network, mask, classes=range(CLASSES), input_shape=shape).network.eval()
    cut_s = time.perf_counter() - start
    with torch.inference_mode():
        masked = hard_masked(network, mask)(images)
        difference = ((module(images) - masked).abs().max() / masked.abs().max()).item()
        latency = _milliseconds(lambda: module(images[:1]))
        latency_full = _milliseconds(lambda: network(images[:1]))
    return {
        "cut_s": cut_s,
        "parameter_rate": parameter_count(module) / parameter_count(network),
        "macs_rate": multiply_accumulates(module, shape) / multiply_accumulates(network, shape),
        "latency_ms": latency,
        "latency_full_ms": latency_full,
        "relative_difference": difference,
    }


def _keep(width: int, fraction: float) -> Tensor:
    kept = torch.zeros(width, dtype=torch.bool)
    kept[torch.randperm(width)[: max(1, round(width * fraction))]] = True
    return kept


def _milliseconds(work: Callable[[], object]) -> float:
    work()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    gpu = {"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}
    return gpu | {
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": f"{platform.system()} {platform.release()}",
    }


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
