"""Two processes (gloo, on the processor) train what one does with the same batches."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from core.approaches import create_approach
from core.artifacts import RECIPE, STATISTICS, WEIGHTS, load, load_network, save_network, training_recipe
from core.datasets import ImageData, load_dataset
from core.errors import UntraceableModelError
from core.initial_weights import initial_of
from core.replicas import Replicas, shared_batch_norm
from core.specs import ApproachSpec, CleaveSpec, MwtSpec, NemoSpec, StandardSpec, TrainSpec
from tests.core.training_runs import run, spec_of

PROCESSES = 2


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load_dataset("digits", None)


def train_with_two(
    spec: TrainSpec, folder: Path, *options: str, processes: int = PROCESSES
) -> list[dict[str, Any]]:
    """The reports of a training by torchrun."""
    path = folder / "spec.json"
    path.write_text(spec.model_dump_json())
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    finished = subprocess.run(
        [*command, "-m", "core.distributed", str(path), str(folder), *options],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    return [json.loads(line) for line in (folder / "reports.jsonl").read_text().splitlines()]


def figures(reports: list[dict[str, Any]]) -> dict[tuple[Any, Any, str], float]:
    lists = [report["metrics"] for report in reports if report["type"] == "metrics"]
    return {(m["epoch"], m["split"], m["name"]): m["value"] for metrics in lists for m in metrics}


LONG = pytest.mark.slow
APPROACHES = [
    CleaveSpec(alpha=0.5),
    pytest.param(NemoSpec(first_unit_in_loss=True), marks=LONG),
    pytest.param(MwtSpec(), marks=LONG),
    pytest.param(StandardSpec(), marks=LONG),
]


@pytest.mark.parametrize("approach", APPROACHES, ids=lambda spec: f"{spec.name}-{spec.recipe}")
def test_two_processes_have_the_losses_of_one(
    approach: ApproachSpec, digits: ImageData, tmp_path: Path
) -> None:
    """97 images in batches of 33: neither these nor the last one can be halved.

    The learning rate is small, because training multiplies differences of rounding.
    """
    spec = spec_of(approach, epochs=2, batch_size=33, max_train_samples=97, learning_rate=0.005, device="cpu")
    alone = run(spec, digits, tmp_path)
    expected = {(m.epoch, m.split, m.name): m.value for m in alone.metrics}
    found = figures(train_with_two(spec, tmp_path))
    assert found.keys() == expected.keys()
    first = [key for key in expected if key[0] == 1 and key[1] == "train"]
    assert {key: found[key] for key in first} == pytest.approx(
        {key: expected[key] for key in first}, abs=1e-5
    )
    assert found == pytest.approx(expected, abs=1e-4)
    weights = load_file(tmp_path / WEIGHTS)
    assert alone.network is not None
    for name, value in create_approach(approach).finish(alone.network).state_dict().items():
        torch.testing.assert_close(weights[name], value, atol=1e-4, rtol=1e-3)
    assert load_network(tmp_path / RECIPE, tmp_path / WEIGHTS).recipe.train_samples == 97
    assert load_file(tmp_path / STATISTICS)["count"].sum() == 97


@pytest.mark.slow
def test_a_process_may_have_no_share_of_the_last_batch(digits: ImageData, tmp_path: Path) -> None:
    """34 images in batches of 32, three processes: two images for the last step."""
    spec = spec_of(CleaveSpec(), epochs=1, batch_size=32, max_train_samples=34, learning_rate=0.005)
    metrics = run(spec, digits, tmp_path).metrics
    expected = {(m.epoch, m.split, m.name): m.value for m in metrics}
    found = figures(train_with_two(spec.model_copy(update={"device": "cpu"}), tmp_path, processes=3))
    assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
def test_two_processes_start_from_a_model_as_one_does(digits: ImageData, tmp_path: Path) -> None:
    spec = spec_of(StandardSpec(), epochs=1, max_train_samples=64, learning_rate=0.005, device="cpu")
    network = run(spec, digits, tmp_path).network
    assert network is not None
    save_network(network, training_recipe(spec, digits, {}, {}), tmp_path / "model")
    spec = spec.model_copy(update={"initial_model_id": "mdl_1"})
    initial = initial_of(load(tmp_path / "model"), spec, digits)
    metrics = run(spec, digits, tmp_path, initial=initial).metrics
    expected = {(m.epoch, m.split, m.name): m.value for m in metrics}
    assert (0, "validation", "accuracy") in expected
    found = figures(train_with_two(spec, tmp_path, "--initial", str(tmp_path / "model")))
    assert found == pytest.approx(expected, abs=1e-4)
    lineage = load_network(tmp_path / RECIPE, tmp_path / WEIGHTS).recipe.lineage
    assert lineage["initial_model_id"] == "mdl_1"


@pytest.mark.slow
def test_two_processes_learn_from_a_teacher_as_one_does(digits: ImageData, tmp_path: Path) -> None:
    """By both heads of DeiT: their logits and the teacher's are rows of the whole batch."""
    spec = spec_of(StandardSpec(), epochs=1, batch_size=11, max_train_samples=22, device="cpu")
    teacher = run(spec, digits, tmp_path).network
    assert teacher is not None
    save_network(teacher, training_recipe(spec, digits, {}, {}), tmp_path / "teacher")
    changes = {"teacher_model_id": "mdl_1", "architecture": "deit_small", "learning_rate": 0.001}
    spec = spec.model_copy(update=changes)
    metrics = run(spec, digits, tmp_path, teacher=teacher).metrics
    alone = {(m.epoch, m.split, m.name): m.value for m in metrics}
    assert (1, "train", "loss_distillation") in alone
    found = figures(train_with_two(spec, tmp_path, "--teacher", str(tmp_path / "teacher")))
    assert found == pytest.approx(alone, abs=1e-5)
    lineage = load_network(tmp_path / RECIPE, tmp_path / WEIGHTS).recipe.lineage
    assert lineage == {"teacher_model_id": "mdl_1"}


def test_batch_normalisation_of_another_kind_is_refused() -> None:
    """A subclass may do more than normalise: timm's applies the activation too."""

    class WithActivation(nn.BatchNorm2d):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return super().forward(input).relu()

    network = nn.Sequential(nn.BatchNorm2d(2), WithActivation(2))
    with shared_batch_norm(network, Replicas()):
        pass
    with (
        pytest.raises(UntraceableModelError, match="WithActivation"),
        shared_batch_norm(network, Replicas(0, 2)),
    ):
        pass
    assert all("forward" not in layer.__dict__ for layer in network)


def test_shares_follow_each_other_and_hold_every_row_once() -> None:
    for size in range(12):
        rows = [row for rank in range(5) for row in range(size)[Replicas(rank, 5).share(size)]]
        assert rows == list(range(size))
