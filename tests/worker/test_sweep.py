"""A sweep tells what extraction would make, and neither of them reads data."""

from pathlib import Path
from typing import Any

import pytest

from core.results import SweepResult
from core.specs import ExtractSpec, ModuleForm, NemoSpec, SweepSpec
from tests.worker.runs import Trained, figure, trained, work
from worker.runners import common

THRESHOLDS = [0.3, 0.8]


@pytest.fixture(scope="module")
def nemo(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return trained(NemoSpec(), tmp_path_factory.mktemp("nemo"))


@pytest.fixture(autouse=True)
def _no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("data was asked for")

    monkeypatch.setattr(common, "load_dataset", refused)


def extract(
    nemo: Trained, folder: Path, form: ModuleForm, threshold: float, *, evaluate: bool = False
) -> Any:
    spec = ExtractSpec(
        model_id="mdl_1", form=form, threshold=threshold, evaluate=evaluate, formats=["safetensors"]
    )
    return work(spec, folder, nemo.files)


@pytest.mark.parametrize("form", ["static", "gated"])
def test_it_tells_what_extraction_makes(nemo: Trained, form: ModuleForm, tmp_path: Path) -> None:
    spec = SweepSpec(model_id="mdl_1", thresholds=THRESHOLDS[::-1], form=form)
    swept = work(spec, tmp_path / "sweep", nemo.files)
    assert isinstance(swept, SweepResult)
    assert [point.threshold for point in swept.points] == THRESHOLDS
    for point in swept.points:
        made = extract(nemo, tmp_path / f"at-{point.threshold}", form, point.threshold)
        names = ("retention_rate", "parameters", "parameter_rate", "flops", "flops_rate")
        assert [m.class_name for m in point.modules] == [m.classes[0] for m in made.modules]
        for told, module in zip(point.modules, made.modules, strict=True):
            assert {n: getattr(told, n) for n in names} == {n: getattr(module, n) for n in names}
        assert point.coupling == figure(made.metrics, "coupling", "train")


def test_measuring_does_ask_for_data(nemo: Trained, tmp_path: Path) -> None:
    """So the tests above would notice."""
    with pytest.raises(AssertionError, match="data was asked for"):
        extract(nemo, tmp_path / "measured", "static", 0.8, evaluate=True)
