"""Use downloaded programs outside the service, in a process that has only torch."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from service.client import CleaveError


class StandaloneRunError(CleaveError):
    """The separate process failed, or was not separate."""

    code = "standalone_run_failed"


@dataclass(frozen=True)
class Measured:
    """What the separate process found. Latencies on one thread: one image; per image of a batch of 256."""

    accuracy: float
    images: int
    latency_ms: float
    batch_us_per_image: float


def export_images(dataset: str, split: str, folder: Path) -> None:
    """Have the engine write a split as raw bytes, in its own process. Raises CleaveError."""
    _run([sys.executable, "-m", "core.datasets_export", dataset, split, str(folder)])


def run_programs(
    programs: list[tuple[Path, list[str]]], images: Path, class_names: list[str]
) -> list[Measured]:
    """Measure (program file, classes to tell apart) pairs on the images in `images`. Raises CleaveError."""
    request = {
        "images": str(images / "images.bin"),
        "labels": str(images / "labels.bin"),
        "shape": json.loads((images / "shape.json").read_text(encoding="utf-8")),
        "class_names": class_names,
        "programs": [{"path": str(path), "classes": classes} for path, classes in programs],
    }
    answer = json.loads(_run([sys.executable, "-I", _script()], json.dumps(request)))
    if answer["our_packages_loaded"]:
        raise StandaloneRunError(f"the separate process loaded {answer['our_packages_loaded']}")
    return [
        Measured(a["accuracy"], a["images"], a["latency_ms"], a["batch_us_per_image"])
        for a in answer["programs"]
    ]


def _script() -> str:
    """The file of `core.run_program`, found without importing it: this process has no torch."""
    spec = find_spec("core.run_program")
    if spec is None or spec.origin is None:
        raise StandaloneRunError("core.run_program is not installed")
    return spec.origin


def _run(command: list[str], stdin: str = "") -> str:
    # Threads that spin while they wait take the processor from each other on a busy machine.
    environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}
    done = subprocess.run(  # noqa: S603 - our own scripts
        command, input=stdin, capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise StandaloneRunError(f"`{' '.join(command[1:4])}` ended with {done.returncode}: {last}")
    return done.stdout
