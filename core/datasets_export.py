"""Write one split of a dataset as raw bytes, for programs that have neither our loader nor its dependencies.

`python -m core.datasets_export DATASET train|validation|test FOLDER [--data-root FOLDER]` writes `images.bin`
(uint8, N x C x H x W), `labels.bin` (int64, little-endian, N) and `shape.json`.
"""

import argparse
import json
import sys
from pathlib import Path

from core.datasets import ImageSplit, load_dataset
from core.errors import CoreError


def export_split(split: ImageSplit, folder: Path) -> None:
    """Write the split's images (N, C, H, W) and labels (N,) into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    images = split.images.contiguous().numpy()
    labels = split.labels.contiguous().numpy().astype("<i8")
    (folder / "images.bin").write_bytes(images.tobytes())
    (folder / "labels.bin").write_bytes(labels.tobytes())
    (folder / "shape.json").write_text(json.dumps(list(images.shape)), encoding="utf-8")


def main(arguments: list[str]) -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(prog="python -m core.datasets_export")
    parser.add_argument("dataset")
    parser.add_argument("split", choices=("train", "validation", "test"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data-root", type=Path)
    given = parser.parse_args(arguments)
    try:
        data = load_dataset(given.dataset, given.data_root)
    except CoreError as error:
        sys.exit(f"error [{error.code}]: {error}")
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    export_split(splits[given.split], given.folder)


if __name__ == "__main__":
    main(sys.argv[1:])
