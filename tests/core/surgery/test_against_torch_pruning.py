"""An oracle that shares no code with us: torch-pruning's groups name the layers that read a unit."""

from typing import Any

import pytest
import torch
import torch_pruning
from torch import nn

from core.architectures import create
from core.masks import ModuleMask
from core.surgery.extraction import extract
from core.units import find_units
from tests.fixtures.networks import IMAGE, Chain, Concatenated, FlattenChain, Residual, images, randomise


def readers_by_torch_pruning(model: nn.Module, unit: str, batch: torch.Tensor) -> set[str]:
    graph: Any = torch_pruning.DependencyGraph().build_dependency(model, example_inputs=batch)
    conv = model.get_submodule(unit)
    group = graph.get_pruning_group(conv, torch_pruning.prune_conv_out_channels, idxs=[0])
    readers = {torch_pruning.prune_conv_in_channels, torch_pruning.prune_linear_in_channels}
    names = {layer: name for name, layer in model.named_modules()}
    return {names[dep.target.module] for dep, _ in group if dep.handler in readers}


def readers_by_extraction(model: nn.Module, unit: str, shape: tuple[int, int, int]) -> set[str]:
    """Layers with fewer weight columns once neuron 0 of the unit is gone."""
    mask = dict(ModuleMask.full(find_units(model)))
    mask[unit][0] = False
    small = extract(model, ModuleMask(mask), classes=(0, 1, 2, 3), input_shape=shape).network
    return {
        name
        for name, layer in small.named_modules()
        if isinstance(layer, nn.Conv2d | nn.Linear)
        and layer.weight.shape[1] < model.get_parameter(f"{name}.weight").shape[1]
    }


@pytest.mark.parametrize(
    ("network", "unit", "readers"),
    [
        (Chain, "3", {"7"}),
        (Chain, "7", {"12"}),
        (FlattenChain, "features.3", {"hidden"}),
        (Concatenated, "right.0", {"after"}),
        (Residual, "after", {"head"}),
    ],
)
def test_same_readers(network: type[nn.Module], unit: str, readers: set[str]) -> None:
    model = randomise(network())
    assert readers_by_torch_pruning(model, unit, images()) == readers
    assert readers_by_extraction(model, unit, IMAGE) == readers


@pytest.mark.parametrize("unit", ["layer1.0.conv1", "layer4.1.conv1"])
def test_same_readers_inside_a_residual_block(unit: str) -> None:
    model = randomise(create("resnet18", 4, (3, 32, 32)))
    by_torch_pruning = readers_by_torch_pruning(model, unit, images((3, 32, 32)))
    assert by_torch_pruning == {unit.replace("conv1", "conv2")}
    assert readers_by_extraction(model, unit, (3, 32, 32)) == by_torch_pruning
