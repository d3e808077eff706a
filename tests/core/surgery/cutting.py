"""What the extraction tests share: networks in each form, masks by hand, the cut itself."""

from torch import nn

from core.masks import ModuleMask
from core.surgery.extraction import Extraction, extract
from core.surgery.masking import insert_generators, remove_generators
from core.units import find_units
from tests.fixtures.networks import IMAGE, NETWORKS, make_generator, randomise


def network_in(form: str, name: str) -> nn.Module:
    model = randomise(NETWORKS[name]())
    if form == "plain":
        return model
    modular = randomise(insert_generators(model, make_generator, add_norm=True), seed=4)
    return modular if form == "gated" else remove_generators(modular)


def mask_without(model: nn.Module, **dropped: list[int]) -> ModuleMask:
    """Everything but the named neurons; __ stands for a dot."""
    mask = dict(ModuleMask.full(find_units(model)))
    for unit, neurons in dropped.items():
        mask[unit.replace("__", ".")][neurons] = False
    return ModuleMask(mask)


def cut(model: nn.Module, mask: ModuleMask, classes: tuple[int, ...] = (0, 1, 2, 3)) -> Extraction:
    return extract(model, mask, classes=classes, input_shape=IMAGE)


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
