"""Exported modules compute what the module computes, for any batch size, from raw images."""

import json
import sys
from pathlib import Path

import pytest
import torch

from core.approaches import create_approach
from core.architectures import create
from core.artifacts import Recipe
from core.errors import ExportUnsupportedError, MissingPackageError
from core.export import export_onnx, export_program
from core.specs import NemoSpec
from core.surgery.extraction import extract
from core.units import find_units
from tests.fixtures.networks import images, random_mask, randomise, run

DIGIT = (1, 8, 8)
SLOW = pytest.mark.slow
NETWORKS = pytest.mark.parametrize("name", ["small_cnn", pytest.param("deit_small", marks=SLOW)])


def module(name: str) -> tuple[torch.fx.GraphModule, Recipe]:
    torch.manual_seed(0)
    modular = randomise(create_approach(NemoSpec()).attach(create(name, 10, DIGIT), 10))
    network = extract(
        modular, random_mask(find_units(modular), 0.5), classes=(3, 8), input_shape=DIGIT
    ).network
    recipe = Recipe(
        architecture=name, model_classes=[str(n) for n in range(10)], classes=["3", "8"], input_shape=DIGIT,
        mean=[0.3], std=[0.4], approach=NemoSpec(), dataset="digits", dataset_digest="0" * 64, seed=0,
        train_samples=1257, versions={},
    )  # fmt: skip
    return network, recipe


@NETWORKS
def test_a_program_runs_without_us(name: str, tmp_path: Path) -> None:
    network, recipe = module(name)
    export_program(network, recipe, tmp_path / "model.pt2")
    program = torch.export.load(tmp_path / "model.pt2").module()
    for count in (1, 5):
        raw = images(DIGIT, count=count).sigmoid()
        torch.testing.assert_close(run(program, raw), run(network, (raw - 0.3) / 0.4))


@NETWORKS
def test_an_onnx_model_runs_without_torch(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="the extra onnx is not installed")
    runtime = pytest.importorskip("onnxruntime")
    network, recipe = module(name)
    export_onnx(network, recipe, tmp_path / "model.onnx")
    session = runtime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for count in (1, 5):
        raw = images(DIGIT, count=count).sigmoid()
        (logits,) = session.run(["logits"], {"images": raw.numpy()})
        expected = run(network, (raw - 0.3) / 0.4)
        scale = max(1.0, float(expected.abs().max()))
        torch.testing.assert_close(torch.from_numpy(logits), expected, atol=1e-5 * scale, rtol=0)
    facts = json.loads(session.get_modelmeta().custom_metadata_map["cleave.json"])
    assert facts["classes"] == ["3", "8"]


def test_onnx_without_its_packages_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    network, recipe = module("small_cnn")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingPackageError, match=r"cleave\[onnx\]"):
        export_onnx(network, recipe, tmp_path / "model.onnx")


class Bessel(torch.nn.Module):
    """ONNX has no Bessel functions."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = torch.special.modified_bessel_i0(x.mean((2, 3)))
        return y


def test_what_onnx_cannot_express_is_refused_by_name(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="the extra onnx is not installed")
    _, recipe = module("small_cnn")
    with pytest.raises(ExportUnsupportedError, match="small_cnn cannot be written as ONNX"):
        export_onnx(Bessel(), recipe, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


class ReadsData(torch.nn.Module):
    """torch.export cannot trace y.data."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3)) - x.data[0, 0, 0, 0]


def test_what_torch_cannot_export_is_refused_by_name(tmp_path: Path) -> None:
    _, recipe = module("small_cnn")
    with pytest.raises(
        ExportUnsupportedError, match=r"small_cnn cannot be written as a torch\.export program"
    ):
        export_program(ReadsData(), recipe, tmp_path / "model.pt2")
    assert not (tmp_path / "model.pt2").exists()
