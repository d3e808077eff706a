"""Which layers are units, and that wrapping does not rename them."""

import pytest
from torch import nn

from core.architectures import create
from core.surgery.masking import insert_generators, remove_generators
from core.units import Unit, find_units
from tests.fixtures.blocks import CalledTwice, Grouped
from tests.fixtures.encoders import Encoder, TokenHead
from tests.fixtures.networks import (
    Chain,
    ConvolutionalHead,
    Depthwise,
    Residual,
    SigmoidGate,
    make_generator,
)


def test_all_but_the_stem_in_execution_order() -> None:
    assert find_units(Residual()) == [
        Unit("first", None, 6, 9), Unit("second", "norm", 9, 9), Unit("after", None, 9, 5),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("architecture", "units", "neurons"),
    [
        ("vgg16", 14, 5184),
        ("simcnn", 14, 5184),
        ("lenet5", 3, 220),
        ("rescnn", 11, 4224),
        ("resnet18", 19, 4736),
        ("vit_small", 66, 38_016),
        ("deit_small", 66, 38_016),
    ],
)
def test_counts_of_the_papers_networks(architecture: str, units: int, neurons: int) -> None:
    found = find_units(create(architecture, 10, (3, 32, 32)))
    assert (len(found), sum(unit.width for unit in found)) == (units, neurons)


def test_projection_follows_its_block() -> None:
    names = [unit.name for unit in find_units(create("resnet18", 10, (3, 32, 32)))]
    assert names[4:7] == ["layer2.0.conv1", "layer2.0.conv2", "layer2.0.downsample.conv"]


def test_depthwise_convolutions_but_neither_grouped_nor_shared_ones() -> None:
    assert [unit.name for unit in find_units(Depthwise())] == ["expand.0", "depthwise", "project"]
    assert [unit.name for unit in find_units(Grouped())] == ["expand.0", "project"]
    assert [unit.name for unit in find_units(CalledTwice())] == ["left", "right", "after"]


def test_six_layers_of_each_encoder_block_but_the_first() -> None:
    units = find_units(create("vit_small", 10, (3, 32, 32)))
    layers = ("attention.q", "attention.k", "attention.v", "attention.proj", "fc1", "fc2")
    assert [unit.name for unit in units] == [
        f"blocks.{block}.{name}" for block in range(1, 12) for name in layers
    ]
    assert all(unit.tokens and unit.norm is None for unit in units)
    assert (units[4].in_channels, units[4].width) == (384, 1536)


def test_a_convolution_behind_preprocessing_is_the_stem() -> None:
    model = nn.Sequential(nn.AvgPool2d(2), *(nn.Conv2d(3, 3, 1) for _ in range(3)))
    assert [unit.name for unit in find_units(model)] == ["2"]


def test_what_writes_the_logits_is_no_unit() -> None:
    assert [unit.name for unit in find_units(ConvolutionalHead())] == ["features.3"]
    heads = [unit.name for unit in find_units(TokenHead())]
    assert heads == [f"blocks.1.{name}" for name in ("q", "k", "v", "proj", "fc1", "fc2")]


@pytest.mark.parametrize("network", [Chain, Depthwise, Encoder, Residual, SigmoidGate])
def test_names_and_widths_survive_masking(network: type[nn.Module]) -> None:
    model = network()
    modular = insert_generators(model, make_generator, add_norm=True)
    before = [(unit.name, unit.in_channels, unit.width) for unit in find_units(model)]
    for wrapped in (modular, remove_generators(modular)):
        after = find_units(wrapped)
        assert [(unit.name, unit.in_channels, unit.width) for unit in after] == before
        assert all(unit.norm or unit.tokens for unit in after)
