"""Evaluation on a dataset that the job names: classes are found by name, and what is not counted is told."""

from pathlib import Path
from typing import Any

import pytest
import torch

from core.architectures import create
from core.artifacts import RECIPE, WEIGHTS, Recipe, save_network
from core.catalog import DATASETS
from core.datasets import ImageData, load_dataset
from core.errors import AnswersNotFiniteError, DatasetMismatchError
from core.reports import LogReport, ResultReport, RunnerInput
from core.results import EvaluateResult
from core.seeding import seeded
from core.specs import EvaluateSpec, StandardSpec
from core.surgery.tracing import trace_copy
from tests.worker.runs import figure, logits_of, network_of
from worker.runners import evaluate
from worker.runners.common import CPU

BACKWARDS = list("9876543210")


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load_dataset("digits", None)


def model(folder: Path, names: list[str], variance: float = 1.0) -> dict[str, str]:
    """The files of a network of no dataset, with digits' normalisation."""
    info = DATASETS["digits"]
    with seeded(CPU, 1):
        made = trace_copy(create("small_cnn", len(names), info.input_shape)).eval()
    made.get_buffer("stem.norm.running_var").fill_(variance)
    recipe = Recipe(
        architecture="small_cnn", model_classes=names, classes=names, input_shape=info.input_shape,
        mean=list(info.mean), std=list(info.std), approach=StandardSpec(), dataset=None, dataset_digest=None,
        seed=None, train_samples=None, versions={},
    )  # fmt: skip
    save_network(made, recipe, folder)
    return {"weights": str(folder / WEIGHTS), "recipe": str(folder / RECIPE)}


def measured(folder: Path, files: dict[str, str], **asked: Any) -> tuple[EvaluateResult, list[str]]:
    job = RunnerInput(
        job_id="job_2", attempt=1, spec={}, staging=str(folder), checkpoints=str(folder), files=files
    )
    spec = EvaluateSpec(target_id="mdl_1", dataset="digits", split="test", **asked)
    *reports, last = evaluate.run(job, spec, lambda: False)
    assert isinstance(last, ResultReport)
    assert isinstance(last.result, EvaluateResult)
    return last.result, [report.message for report in reports if isinstance(report, LogReport)]


def test_outputs_and_images_are_of_the_same_name(tmp_path: Path, digits: ImageData) -> None:
    files = model(tmp_path / "model", BACKWARDS)
    result, said = measured(tmp_path, files)
    answers = logits_of(network_of(files).network, digits.test, digits).argmax(dim=1)
    right = torch.tensor([int(BACKWARDS[answer]) for answer in answers]) == digits.test.labels
    assert figure(result.metrics, "accuracy", "test") == right.double().mean().item()
    of_three = right[digits.test.labels == 3].double().mean().item()
    assert figure(result.metrics, "class_accuracy", "test", "3") == of_three
    assert (result.dataset, result.dataset_digest, said) == ("digits", digits.digest, [])
    assert (result.images_left_out, result.classes_without_images) == ({}, [])


def test_classes_of_one_side_alone_are_told(tmp_path: Path, digits: ImageData) -> None:
    """No answer to an image of an unknown class is right; an answer without images can be wrong."""
    known = ["cat", "3", "1", "5", "7", "9", "0"]
    files = model(tmp_path / "model", known)
    result, said = measured(tmp_path, files)
    counts = torch.bincount(digits.test.labels).tolist()
    assert result.images_left_out == {name: counts[int(name)] for name in "2468"}
    assert result.classes_without_images == ["cat"]
    assert len(said) == 2
    part = digits.test.restricted([0, 1, 3, 5, 7, 9])
    answers = logits_of(network_of(files).network, part, digits).argmax(dim=1)
    right = [known[answer] == str(label) for answer, label in zip(answers, part.labels.tolist(), strict=True)]
    assert figure(result.metrics, "accuracy", "test") == pytest.approx(sum(right) / len(right))


def test_a_class_that_is_asked_alone_needs_images(tmp_path: Path) -> None:
    files = model(tmp_path / "model", ["cat", "3", "1"])
    assert figure(measured(tmp_path, files, classes=["3"])[0].metrics, "f1", "test") >= 0
    with pytest.raises(DatasetMismatchError, match="images of cat"):
        measured(tmp_path, files, classes=["cat"])


def test_images_of_another_size_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service looks too; but a worker's own files may be of another version."""
    files = model(tmp_path / "model", BACKWARDS)
    digits = load_dataset("digits", None)
    info = digits.info.model_copy(update={"input_shape": (1, 16, 16)})
    other = ImageData(info, digits.train, digits.validation, digits.test, digits.digest)
    monkeypatch.setattr(evaluate, "dataset_of", lambda *_: other)
    with pytest.raises(DatasetMismatchError, match=r"\[1, 16, 16\]"):
        measured(tmp_path, files)


@pytest.mark.parametrize("asked", [None, ["3"], ["3", "5"]], ids=["all", "one", "two"])
def test_of_answers_that_are_no_numbers_nothing_is_measured(tmp_path: Path, asked: list[str] | None) -> None:
    files = model(tmp_path / "model", BACKWARDS, variance=-1.0)
    with pytest.raises(AnswersNotFiniteError, match="NaN or infinite"):
        measured(tmp_path, files, classes=asked)
