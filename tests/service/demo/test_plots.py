"""The demo's pictures read what the engine writes."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from core.masks import ModuleMask
from service.client.schemas import Metric, Model
from service.demo.outcome import ApproachOutcome
from service.demo.plots import draw_all, jaccard, read_mask

UNITS = {"layer.0": 13, "layer.1": 8}


def random_mask(seed: int) -> ModuleMask:
    generator = torch.Generator().manual_seed(seed)
    return ModuleMask({name: torch.rand(width, generator=generator) < 0.5 for name, width in UNITS.items()})


def write_recipe(mask: ModuleMask, path: Path, name: str) -> Path:
    path.write_text(json.dumps({"classes": [name], "module": {"mask": mask.to_json()}}))
    return path


def test_masks_and_overlap_are_the_engines(tmp_path: Path) -> None:
    ours, theirs = random_mask(1), random_mask(2)
    read = [
        read_mask(write_recipe(mask, tmp_path / f"{i}.json", "x")) for i, mask in enumerate((ours, theirs))
    ]
    assert read[0].tolist() == torch.cat([ours[name] for name in ours]).tolist()
    assert jaccard(*read) == pytest.approx(ours.jaccard(theirs))
    assert jaccard(np.zeros(3, bool), np.zeros(3, bool)) == 1.0


def test_every_picture_is_drawn(tmp_path: Path) -> None:
    firing = {f"firing/{i:04}/{name}": np.ones((2, UNITS[name])) for i, name in enumerate(UNITS)}
    save_file({"count": np.array([3.0, 0.0]), **firing}, tmp_path / "statistics.safetensors")
    model = Model(id="mdl_0", architecture="small_cnn", approach="nemo", parameters=1, classes=["a", "b"])
    curves = [
        Metric(name=name, value=1 / epoch, split=split, epoch=epoch)
        for name, split in (("loss_task", "train"), ("accuracy", "validation"), ("accuracy", "train"))
        for epoch in (1, 2, 3)
    ]
    recipes = [write_recipe(random_mask(seed), tmp_path / f"{seed}.json", str(seed)) for seed in range(3)]
    outcome = ApproachOutcome("nemo", model, [], curves)
    outcome.statistics_file, outcome.recipe_files = tmp_path / "statistics.safetensors", recipes
    drawn = draw_all([outcome], tmp_path / "plots")
    assert len(drawn) == 3
    assert all(path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 5000 for path in drawn)
