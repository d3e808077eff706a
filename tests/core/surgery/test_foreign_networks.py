"""Networks of other packages, by prefix: the cut equals the masked network, loads again and trains."""

import sys
from typing import Any

import pytest
import torch
from torch import nn

from core.architectures import create
from core.errors import InputShapeError, MissingPackageError, UnknownArchitectureError, UntraceableModelError
from core.surgery.extraction import Extraction, extract
from core.surgery.masking import hard_masked
from core.surgery.tracing import trace
from core.units import find_units
from tests.fixtures.networks import images, random_mask, randomise, run

RGB = (3, 32, 32)
SLOW = pytest.mark.slow
# name, images, whether channels have to stay somewhere.
SAMPLE = [
    ("torchvision:resnet18", (1, 32, 32), False),
    ("torchvision:mobilenet_v2", RGB, False),
    ("torchvision:shufflenet_v2_x0_5", RGB, True),
    ("torchvision:regnet_y_400mf", RGB, True),
    pytest.param("torchvision:efficientnet_b0", RGB, True, marks=SLOW),
    pytest.param("torchvision:convnext_tiny", RGB, True, marks=SLOW),
    pytest.param("torchvision:densenet121", RGB, True, marks=SLOW),
    pytest.param("torchvision:googlenet", (3, 64, 64), False, marks=SLOW),
    pytest.param("torchvision:vgg11_bn", RGB, False, marks=SLOW),
    pytest.param("torchvision:vit_b_16", RGB, False, marks=SLOW),
    ("timm:resnet10t", RGB, False),
    ("timm:vit_tiny_patch16_224", RGB, True),
    pytest.param("timm:convnext_atto", RGB, True, marks=SLOW),
    pytest.param("timm:deit_tiny_distilled_patch16_224", RGB, True, marks=SLOW),
]


def network(name: str, shape: tuple[int, int, int], classes: int = 5) -> nn.Module:
    if name.startswith("timm:"):
        pytest.importorskip("timm", reason="the extra timm is not installed")
    torch.manual_seed(0)
    return randomise(create(name, classes, shape))


@pytest.mark.parametrize(("name", "shape", "pinned"), SAMPLE)
def test_extracted_equals_masked_loads_again_and_trains(
    name: str, shape: tuple[int, int, int], pinned: bool
) -> None:
    model, batch = network(name, shape), images(shape)
    mask = random_mask(find_units(model), 0.6)
    masked = run(hard_masked(model, mask), batch)[:, [4, 1]]
    extraction = cut(model, mask, shape)
    scale = max(1.0, float(masked.abs().max()))
    torch.testing.assert_close(run(extraction.network, batch), masked, atol=1e-5 * scale, rtol=0)
    assert float((masked - run(model, batch)[:, [4, 1]]).abs().max()) > 1e-3 * scale
    assert bool(extraction.notes) == pinned

    again = cut(create(name, 5, shape).eval(), mask, shape).network
    again.load_state_dict(extraction.network.state_dict())
    assert torch.equal(run(again, batch), run(extraction.network, batch))

    torch.autograd.backward(extraction.network(batch).square().sum())
    missing = {n for n, parameter in extraction.network.named_parameters() if parameter.grad is None}
    assert not missing


def cut(model: nn.Module, mask: Any, shape: tuple[int, int, int]) -> Extraction:
    return extract(model, mask, classes=(4, 1), input_shape=shape)


def test_stochastic_depth_is_random_in_training_only() -> None:
    traced = trace(create("torchvision:efficientnet_b0", 3, RGB))
    kinds = {type(layer).__name__ for layer in traced.modules()}
    assert "StochasticDepth" in kinds
    assert torch.equal(run(traced.eval(), images(RGB)), run(traced.eval(), images(RGB)))
    traced.train()
    assert any(not torch.equal(run(traced, images(RGB)), run(traced, images(RGB))) for _ in range(3))


class TestRefusals:
    @pytest.mark.parametrize(
        "name", ["torchvision:resnet99", "torchvision:fcn_resnet50", "resnet99", "jax:resnet18"]
    )
    def test_unknown_names(self, name: str) -> None:
        with pytest.raises(UnknownArchitectureError):
            create(name, 10, RGB)

    @pytest.mark.parametrize(
        ("name", "shape"), [("torchvision:vit_b_32", (3, 40, 40)), ("torchvision:alexnet", (3, 16, 16))]
    )
    def test_images_it_cannot_take(self, name: str, shape: tuple[int, int, int]) -> None:
        with pytest.raises(InputShapeError, match=r"40|16"):
            create(name, 10, shape)

    def test_a_network_without_units(self) -> None:
        with pytest.raises(UntraceableModelError, match="nothing to mask"):
            create("torchvision:swin_t", 10, RGB)

    def test_timm_where_it_is_not_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "timm", None)
        with pytest.raises(MissingPackageError, match=r"cleave\[timm\]"):
            create("timm:resnet10t", 10, RGB)
