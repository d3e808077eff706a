"""Train on, count and evaluate images that lie in a file: `python -m tests.core.mapped_training FOLDER`.

FOLDER has images.npy and labels.npy. Writes two numbers, in MiB: how much memory of its own (not the file's
pages, which the system takes back at will) the process had at most beyond what it had after a first step;
then what a copy of half of the images takes.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from core.approaches import create_approach
from core.architectures import registry
from core.catalog import DatasetInfo
from core.datasets import ImageData, ImageSplit, batches
from core.evaluation import predict
from core.specs import StandardSpec, TrainSpec
from core.training import train

CPU = torch.device("cpu")
SIDE = 64


class Coarse(nn.Module):
    """Looks at every image in little time."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv = nn.Conv2d(3, 4, 8, stride=8), nn.Conv2d(4, 6, 4, stride=4)
        self.head = nn.Linear(6, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.conv(torch.relu(self.stem(x)))).mean((2, 3)))  # type: ignore[no-any-return]


class Peak:
    """The most memory of its own that the process had when asked, and what it had the first time."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def ask(self) -> bool:
        self.asked.append(own_mib())
        return False


def own_mib() -> int:
    """Resident memory that no file backs (RssAnon), in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) // 1024


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    registry._PACKAGES["tests"] = lambda *_: Coarse()
    images = torch.from_numpy(np.load(folder / "images.npy", mmap_mode="c"))
    whole = ImageSplit(images, torch.from_numpy(np.load(folder / "labels.npy")))
    info = DatasetInfo.model_validate(INFO)
    data = ImageData(info, whole, whole.every(20, 1), whole.every(20, 2), "0" * 64)
    spec = TrainSpec.model_construct(
        **TrainSpec.model_validate(SPEC).model_dump() | {"architecture": "tests:coarse"}
    )
    spec = spec.model_copy(update={"approach": StandardSpec()})
    peak = Peak()
    steps = train(spec, data, device=CPU, checkpoint_dir=folder, resume=None, should_stop=peak.ask)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            network = end.value
            break
    counted = create_approach(StandardSpec()).statistics(network, batches(whole, info, 32, device=CPU), 10)
    peak.ask()
    some = whole.restricted([0, 1, 2, 3, 4])
    logits = predict(network, some, info, CPU, peak.ask)
    assert counted.count.sum() == len(whole)
    assert len(logits) == len(some) > 0.4 * len(whole)
    took = max(peak.asked) - peak.asked[0]
    before = own_mib()
    half = images[::2].clone()
    sys.stdout.write(f"{took} {own_mib() - before}\n")
    del half


INFO = {
    "name": "digits", "description": "", "class_names": [str(n) for n in range(10)],
    "input_shape": (3, SIDE, SIDE), "train": 1, "validation": 1, "test": 1, "mean": (0.5, 0.5, 0.5),
    "std": (0.2, 0.2, 0.2), "crop_padding": 4, "flip": True, "needs_data_root": False, "files": (),
}  # fmt: skip
SPEC = {"architecture": "small_cnn", "dataset": "digits", "epochs": 1, "batch_size": 32}

if __name__ == "__main__":
    main(Path(sys.argv[1]))
