"""The whole path of a module, for every network there is: cut, stored, loaded, trained on, exported.

What is quick runs always: some hand-made networks with one difficulty each. The rest is slow: every hand-made
network in both forms, the whole registry, a sample of other packages' networks, images of 224 pixels.
"""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor, fx, nn

from core.approaches import create_approach
from core.architectures import create, names, registry
from core.artifacts import RECIPE, WEIGHTS, ModulePart, Recipe, load_network, save_network
from core.export import export_onnx, export_program
from core.specs import NemoSpec, StandardSpec
from core.surgery.extraction import extract
from core.surgery.masking import hard_masked
from core.units import find_units
from tests.fixtures.networks import IMAGE, NETWORKS, images, random_mask, randomise, run

pytestmark = pytest.mark.filterwarnings("ignore")  # the exporters warn of their own ways
CLASSES, COUNTS = (2, 0), (1, 3)
RGB, LARGE = (3, 32, 32), (3, 224, 224)
Shape = tuple[int, int, int]
QUICK = {
    ("Residual", "gated"), ("SigmoidGate", "static"), ("Shuffled", "static"), ("CalledTwice", "static"),
    ("MultiheadEncoder", "static"), ("FusedEncoder", "gated"),
}  # fmt: skip
PACKAGED = [
    "torchvision:resnet18", "torchvision:vgg11_bn", "torchvision:mobilenet_v2",
    "torchvision:mobilenet_v3_small",
    "torchvision:shufflenet_v2_x0_5", "torchvision:regnet_y_400mf", "torchvision:efficientnet_b0",
    "torchvision:convnext_tiny", "torchvision:densenet121", "torchvision:vit_b_16",
    "timm:resnet10t", "timm:vit_tiny_patch16_224", "timm:convnext_atto",
    "timm:deit_tiny_distilled_patch16_224",
]  # fmt: skip


def named(name: str, form: str, shape: Shape, *, slow: bool = True) -> object:
    marks = [pytest.mark.slow] if slow else []
    return pytest.param(name, form, shape, id=f"{name}-{form}-{shape[1]}", marks=marks)


CASES = [
    *(
        named(f"tests:{name}", form, IMAGE, slow=(name, form) not in QUICK)
        for name in NETWORKS if name != "Attributes"  # torch.export cannot trace y.data
        for form in ("static", "gated")
    ),
    *(
        named(name, form, (1, 8, 8) if name == "small_cnn" else RGB)
        for name in names() for form in ("static", "gated")
    ),
    *(named(name, "static", RGB) for name in PACKAGED),
    *(named(name, "static", LARGE) for name in ("resnet50", "mobilenet", "vit_small")),
]  # fmt: skip


@dataclass
class Cut:
    """A module, its recipe, and what it has to compute: images (N, C, H, W) -> logits of CLASSES."""

    network: fx.GraphModule
    recipe: Recipe
    batch: Tensor
    expected: Tensor

    def require_equal(self, logits: Tensor, count: int) -> None:
        """To 1e-5 of the largest logit."""
        scale = max(1.0, float(self.expected.abs().max()))
        torch.testing.assert_close(logits, self.expected[:count], atol=1e-5 * scale, rtol=0)


def cut(name: str, form: str, shape: Shape) -> Cut:
    """Half of each unit's neurons, at random, of a network with random statistics."""
    torch.manual_seed(0)
    spec = NemoSpec() if form == "gated" else StandardSpec()
    # Generators as they are at first: with random biases some would leave no neuron on.
    network = create_approach(spec).attach(randomise(create(name, 4, shape)), 4).eval()
    batch = images(shape, count=max(COUNTS))
    mask = random_mask(find_units(network), 0.5)
    masked, whole = (run(n, batch)[:, CLASSES] for n in (hard_masked(network, mask), network))
    assert float((masked - whole).abs().max()) > 1e-4 * float(whole.abs().max())
    part = ModulePart(
        form="gated" if form == "gated" else "static", fold_amplitudes=False, threshold=None,
        class_indices=list(CLASSES), mask=mask.to_json(),
    )  # fmt: skip
    recipe = Recipe(
        architecture=name, model_classes=list("0123"), classes=["2", "0"], input_shape=shape,
        mean=[0.0] * shape[0], std=[1.0] * shape[0], approach=spec, dataset="digits",
        dataset_digest="0" * 64, seed=0, train_samples=1, versions={}, module=part,
    )  # fmt: skip
    return Cut(extract(network, mask, classes=CLASSES, input_shape=shape).network, recipe, batch, masked)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("name", "form", "shape"), CASES)
def test_a_module_computes_the_same_wherever_it_goes(
    name: str, form: str, shape: Shape, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name.startswith("timm:"):
        pytest.importorskip("timm", reason="the extra timm is not installed")
    monkeypatch.setitem(registry._PACKAGES, "tests", lambda own, *_: NETWORKS[own]())
    module = cut(name, form, shape)
    module.require_equal(run(module.network, module.batch), len(module.batch))

    recipe = save_network(module.network, module.recipe, tmp_path)
    loaded = load_network(tmp_path / RECIPE, tmp_path / WEIGHTS).network
    assert torch.equal(run(loaded, module.batch), run(module.network, module.batch))
    require_gradients(module.network, module.batch)
    require_exports(module, loaded, recipe, tmp_path)


def require_gradients(network: nn.Module, batch: Tensor) -> None:
    torch.autograd.backward(network(batch).square().sum())
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    assert [name for name, grad in gradients.items() if grad is None or not grad.isfinite().all()] == []
    assert any(grad is not None and grad.any() for grad in gradients.values())


def require_exports(module: Cut, network: nn.Module, recipe: Recipe, folder: Path) -> None:
    export_program(network, recipe, folder / "model.pt2")
    program = torch.export.load(folder / "model.pt2").module()
    for count in COUNTS:
        module.require_equal(run(program, module.batch[:count]), count)
    pytest.importorskip("onnx", reason="the extra onnx is not installed")
    runtime = pytest.importorskip("onnxruntime")
    export_onnx(network, recipe, folder / "model.onnx")
    session = runtime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    for count in COUNTS:
        (logits,) = session.run(["logits"], {"images": module.batch[:count].numpy()})
        module.require_equal(torch.from_numpy(logits), count)
