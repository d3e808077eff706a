"""Every registered network has the kernels, parameters and masked layers of the papers' tables."""

import pytest
import torch
from torch import nn

from core.architectures import create, names
from core.architectures.distillation import has_distillation_head, recorded_heads
from core.catalog import ARCHITECTURES
from core.errors import InputShapeError, UnknownArchitectureError
from core.surgery.masking import insert_generators
from tests.fixtures.networks import make_generator

RGB = (3, 32, 32)
# name -> kernels, convolutions, parameters in millions, for 10 classes.
PUBLISHED = {
    "vgg16": (4224, 13, 15.25),
    "simcnn": (4224, 13, 15.25),
    "rescnn": (4288, 12, 16.01),
    "resnet18": (4800, 20, 11.17),
    "lenet5": (22, 2, 0.062),
    "vit_small": (384, 1, 21.34),
    "deit_small": (384, 1, 21.35),
}


def convolutions(model: nn.Module) -> list[nn.Conv2d]:
    return [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]


def test_the_registry_holds_exactly_the_catalogue() -> None:
    assert set(names()) == set(ARCHITECTURES)


@pytest.mark.parametrize("name", PUBLISHED)
def test_kernels_and_parameters_are_the_published_ones(name: str) -> None:
    kernels, layers, millions = PUBLISHED[name]
    model = create(name, 10, RGB)
    found = convolutions(model)
    assert (sum(layer.out_channels for layer in found), len(found)) == (kernels, layers)
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.006)


@pytest.mark.parametrize("name", ["simcnn", "rescnn"])
def test_the_standard_form_of_the_plain_nets_has_no_normalisation(name: str) -> None:
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in create(name, 10, RGB).modules())


def test_vgg16_is_initialised_as_published() -> None:
    model = create("vgg16", 10, RGB)
    for layer in convolutions(model):
        expected = (2 / (layer.out_channels * 9)) ** 0.5
        assert layer.weight.std().item() == pytest.approx(expected, rel=0.06)
    head = model.get_submodule("head")
    assert isinstance(head, nn.Linear)
    assert head.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert not head.bias.any()


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_one_or_three_channels_give_one_logit_per_class(name: str, channels: int) -> None:
    with torch.device("meta"):
        model = create(name, 7, (channels, 32, 32)).eval()
        assert model(torch.empty(2, channels, 32, 32)).shape == (2, 7)


@pytest.mark.parametrize(
    ("name", "millions", "stem"),
    [
        ("resnet18", 11.69, "stem"),
        ("resnet34", 21.80, "stem"),
        ("resnet50", 25.56, "stem"),
        ("mobilenet", 4.23, "stem"),
        ("vit_small", 22.05, "patches"),
    ],
)
def test_large_images_take_the_form_of_the_papers_on_imagenet(name: str, millions: float, stem: str) -> None:
    """Published parameters for 1000 classes of 224-pixel images."""
    with torch.device("meta"):
        model = create(name, 1000, (3, 224, 224)).eval()
        assert model(torch.empty(1, 3, 224, 224)).shape == (1, 1000)
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.006)
    first = model.get_submodule(stem)
    assert isinstance(first, nn.Conv2d)
    assert first.stride != (1, 1)


def test_mobilenet_has_thirteen_depthwise_convolutions() -> None:
    found = convolutions(create("mobilenet", 10, RGB))
    assert (len(found), sum(layer.groups > 1 for layer in found)) == (27, 13)
    assert found[0].stride == (1, 1)


class TestDeiT:
    def test_logits_are_the_mean_of_both_heads(self) -> None:
        model = create("deit_small", 5, (1, 8, 8)).eval()
        with torch.no_grad(), recorded_heads(model) as heads:
            logits = model(torch.randn(2, 1, 8, 8))
        assert not torch.equal(heads["head"], heads["distillation_head"])
        torch.testing.assert_close(logits, (heads["head"] + heads["distillation_head"]) / 2)

    def test_training_sees_each_head_of_a_masked_network(self) -> None:
        modular = insert_generators(create("deit_small", 5, (1, 8, 8)), make_generator, add_norm=True)
        with recorded_heads(modular) as heads:
            modular(torch.randn(2, 1, 8, 8))
        assert {name: tuple(value.shape) for name, value in heads.items()} == {
            "head": (2, 5), "distillation_head": (2, 5),
        }  # fmt: skip
        assert has_distillation_head(modular)
        assert not has_distillation_head(create("small_cnn", 5, (1, 8, 8)))


def test_patches_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputShapeError, match="10x8 pixels do not divide into patches of 4x4"):
        create("vit_small", 10, (1, 10, 8))


@pytest.mark.parametrize(("size", "last"), [(8, 2), (12, 3), (16, 2), (28, 3), (32, 4)])
def test_small_cnn_pools_as_often_as_the_image_allows(size: int, last: int) -> None:
    model = create("small_cnn", 10, (1, size, size)).eval()
    blocks, stem = model.get_submodule("blocks"), model.get_submodule("stem")
    with torch.no_grad():
        assert blocks(stem(torch.randn(1, 1, size, size))).shape[-2:] == (last, last)


def test_rescnn_adds_each_skip_behind_the_relu() -> None:
    """Zeroing convolution 11 must leave exactly the third skip (the output of convolution 9, pooled)."""
    model = create("rescnn", 10, RGB).eval()
    last = convolutions(model)[11]
    nn.init.zeros_(last.weight)
    assert last.bias is not None
    nn.init.constant_(last.bias, -1.0)  # ReLU(-1) = 0: with the sum before the ReLU the skip would be lost
    seen: dict[str, torch.Tensor] = {}
    for name, layer in (("skip", convolutions(model)[10]), ("flat", model.get_submodule("flatten"))):
        layer.register_forward_pre_hook(lambda _, args, name=name: seen.update({name: args[0]}))
    with torch.no_grad():
        model(torch.randn(2, *RGB))
    assert seen["skip"].any()
    assert torch.equal(seen["flat"], seen["skip"])


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownArchitectureError, match="vgg16"):
        create("vgg17", 10, RGB)


@pytest.mark.parametrize(
    ("name", "shape"), [("vgg16", (3, 28, 28)), ("small_cnn", (1, 6, 8)), ("small_cnn", (2, 8, 8))]
)
def test_images_it_cannot_take_are_refused(name: str, shape: tuple[int, int, int]) -> None:
    with pytest.raises(InputShapeError, match=name):
        create(name, 10, shape)
