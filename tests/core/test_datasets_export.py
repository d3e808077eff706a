"""Raw bytes on disk are the split that the engine uses."""

import json
from pathlib import Path

import pytest
import torch

from core.datasets import load_dataset
from core.datasets_export import main


def test_the_files_hold_the_split(tmp_path: Path) -> None:
    main(["digits", "test", str(tmp_path)])
    split = load_dataset("digits", None).test
    shape = json.loads((tmp_path / "shape.json").read_text())
    images = torch.frombuffer(bytearray((tmp_path / "images.bin").read_bytes()), dtype=torch.uint8)
    labels = torch.frombuffer(bytearray((tmp_path / "labels.bin").read_bytes()), dtype=torch.int64)
    assert torch.equal(images.reshape(shape), split.images)
    assert torch.equal(labels, split.labels)


def test_missing_data_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"error \[data_root_missing\]"):
        main(["mnist", "test", str(tmp_path)])
