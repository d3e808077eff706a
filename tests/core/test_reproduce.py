"""What `benchmarks.reproduce` takes for the same run, and what its page says of runs of several lengths."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks import report
from benchmarks.reproduce import cases, row_path
from core.specs import TrainSpec, spec_digest


def test_runs_of_other_lengths_share_no_file(tmp_path: Path) -> None:
    """Else the row of a short training counts as that of a long one, which cannot resume its checkpoints."""
    every = [case for epochs in (None, 45, 200) for case in cases("cifar10", epochs)]
    assert cases("cifar10", 200) == cases("cifar10")
    digests = {row_path(tmp_path, case): set[str]() for case in every}
    for case in every:
        digests[row_path(tmp_path, case)].add(spec_digest(TrainSpec.model_validate(case.spec())))
    assert {len(found) for found in digests.values()} == {1}
    assert len(digests) == 2 * len(cases("cifar10"))


def page(content: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (folder / "docs").mkdir()
    monkeypatch.setattr(report, "DOCS", folder / "docs")
    written, *_ = report.write_report(content, folder / "figures")
    return written.read_text()


@pytest.fixture
def content() -> dict[str, Any]:
    """Three seeds of one approach, of 45 epochs at a scale of 200."""
    size = {"parameters %": 20.0}
    row = {
        "approach": "cleave", "architecture": "mobilenet", "dataset": "cifar10", "epochs": 45,
        "test accuracy": 88.0, "retention %": 40.0, "coupling": 0.6, "one class": {"static": size},
        "reuse": {str(n): {"static": {"accuracy": 90.0, "worst loss": 1.0, **size}} for n in range(2, 11)},
    }  # fmt: skip
    settings = {
        "epochs": 200, "batch_size": 128, "train_samples": None, "test_samples": None, "seeds": 3,
        "retrain_epochs": 0,
    }  # fmt: skip
    machine = {"processor": "x86_64", "threads": 2, "torch": "2"}
    rows = [{**row, "seed": seed} for seed in range(3)]
    return {"scale": "cifar10", "settings": settings, "machine": machine, "missing": "", "rows": rows}


def test_the_page_tells_how_long_its_trainings_took(
    content: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = page(content, tmp_path, monkeypatch)
    assert "\n45 epochs, batches of 128" in text
    assert "| cleave | static | 3 |" in text


def test_of_several_lengths_each_row_tells_its_own(
    content: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row of an earlier version does not tell, and has the scale's: two that do not belong together."""
    del content["rows"][0]["epochs"]
    text = page(content, tmp_path, monkeypatch)
    assert "\n45 or 200 epochs, batches of 128" in text
    assert "| cleave, 200 epochs | static | 1 |" in text
    assert "| cleave, 45 epochs | static | 2 |" in text


def test_rows_that_were_taken_over_belong_to_those_of_this_run(
    content: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content["settings"]["epochs"] = 45
    del content["rows"][0]["epochs"]
    assert "| cleave | static | 3 |" in page(content, tmp_path, monkeypatch)
