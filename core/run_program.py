"""Run exported programs with torch and nothing else of ours: the proof that a download stands on its own.

Started by path, as `python -I core/run_program.py`. Reads one JSON request on stdin:
    {"images": file, "labels": file, "shape": [N, C, H, W], "class_names": [...],
     "programs": [{"path": file, "classes": [...]}, ...]}
and writes one JSON list on stdout: accuracy on the images of those classes, and latency.
"""

import json
import sys
import time
from typing import Any

import torch

BATCH = 256


def main() -> None:
    request = json.load(sys.stdin)
    torch.set_num_threads(1)
    images = torch.frombuffer(bytearray(_read(request["images"])), dtype=torch.uint8)
    images = images.reshape(request["shape"]).float() / 255
    labels = torch.frombuffer(bytearray(_read(request["labels"])), dtype=torch.int64)
    with torch.inference_mode():
        answers = [
            measure(program, images, labels, request["class_names"]) for program in request["programs"]
        ]
    ours = sorted({name.partition(".")[0] for name in sys.modules} & {"core", "service", "worker"})
    json.dump({"torch": torch.__version__, "our_packages_loaded": ours, "programs": answers}, sys.stdout)


def measure(
    program: dict[str, Any], images: torch.Tensor, labels: torch.Tensor, class_names: list[str]
) -> dict[str, Any]:
    """Accuracy on the images of the wanted classes, choosing among these only; and latency."""
    facts: dict[str, Any] = {"cleave.json": ""}
    network = torch.export.load(program["path"], extra_files=facts).module()
    outputs = json.loads(facts["cleave.json"])["classes"]
    wanted = program["classes"]
    indices = torch.tensor([class_names.index(name) for name in wanted])
    chosen = torch.isin(labels, indices)
    logits = network(images[chosen])[:, [outputs.index(name) for name in wanted]]
    correct = int((indices[logits.argmax(dim=1)] == labels[chosen]).sum())
    count = int(chosen.sum())
    return {
        "classes": outputs,
        "accuracy": correct / count,
        "images": count,
        "latency_ms": 1000 * seconds(network, images[:1], repeats=30),
        "batch_us_per_image": 1e6 * seconds(network, images[:BATCH], repeats=7) / len(images[:BATCH]),
    }


def seconds(network: torch.nn.Module, batch: torch.Tensor, repeats: int) -> float:
    """The fastest of some forward passes: what other processes take away is not the network's."""
    network(batch)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        network(batch)
        times.append(time.perf_counter() - start)
    return min(times)


def _read(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123 - nothing but torch and json is imported here
        return file.read()


if __name__ == "__main__":
    main()
