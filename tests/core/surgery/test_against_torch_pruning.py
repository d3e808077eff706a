"""An oracle that shares no code with us: torch-pruning's groups name the layers that read a unit."""

from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import nn

from core.architectures import create
from core.masks import ModuleMask
from core.surgery.extraction import CutPlan, extract
from core.units import find_units
from tests.fixtures.networks import IMAGE, Chain, Concatenated, FlattenChain, Residual, images, randomise


def readers_by_torch_pruning(model: nn.Module, unit: str, batch: torch.Tensor) -> set[str]:
    import torch_pruning  # here: it brings torchvision, which takes seconds

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


Group = tuple[frozenset[str], frozenset[str]]


def groups_of(model: nn.Module, batch: torch.Tensor) -> set[Group]:
    """The convolutions that write one channel space, and the layers that read it."""
    import torch_pruning

    graph: Any = torch_pruning.DependencyGraph().build_dependency(model, example_inputs=batch)
    names, groups = {layer: name for name, layer in model.named_modules()}, set[Group]()
    write, read = (
        (torch_pruning.prune_conv_out_channels,),
        (torch_pruning.prune_conv_in_channels, torch_pruning.prune_linear_in_channels),
    )
    for layer in names:
        if isinstance(layer, nn.Conv2d):
            group = graph.get_pruning_group(layer, write[0], idxs=[0])
            found = [(dep.handler, names.get(dep.target.module, "")) for dep, _ in group]
            sides = (frozenset(name for handler, name in found if handler in side) for side in (write, read))
            groups.add((next(sides), next(sides)))
    return groups


@pytest.mark.parametrize(
    "name", ["resnet18", "rescnn", *(pytest.param(n, marks=pytest.mark.slow) for n in ("vgg16", "resnet50"))]
)
def test_what_is_written_together_goes_together(name: str) -> None:
    """A channel that every writer of its space drops leaves all readers, else not."""
    model, shape = randomise(create(name, 4, (3, 32, 32))), (3, 32, 32)
    full, plan = ModuleMask.full(find_units(model)), CutPlan(model, shape)

    def shrunk(writers: Iterable[str]) -> set[str]:
        mask = dict(full)
        for writer in writers:
            mask[writer][0] = False
        small = plan.extract(ModuleMask(mask), classes=(0, 1, 2, 3)).network
        layers = {n: layer for n, layer in small.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)}
        return {
            n
            for n, layer in layers.items()
            if layer.weight[0].numel() < model.get_parameter(f"{n}.weight")[0].numel()
        }

    for writers, readers in groups_of(model, images(shape)):
        units = sorted(writers & full.keys())  # the first convolution is none, and keeps all
        if len(units) == len(writers):
            assert shrunk(units) == readers
        if len(writers) > 1:  # ours may be fewer: a reader between two writers sees the first one only
            assert shrunk(units[: len(writers) - 1]) < readers
