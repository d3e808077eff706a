"""Which layers are units: the convolutions whose neurons (output channels) masks keep or drop."""

from dataclasses import dataclass

from torch import nn

from core.surgery.sites import unit_conv, unit_sites
from core.surgery.tracing import trace


@dataclass(frozen=True)
class Unit:
    """One masked layer.

    Attributes:
        name: The convolution's qualified name in the model as its author wrote it.
        norm: The name of the batch normalisation behind it, if it has one; the mask acts after it.
        in_channels: Channels the convolution reads.
        width: Neurons (output channels).
    """

    name: str
    norm: str | None
    in_channels: int
    width: int


def find_units(model: nn.Module) -> list[Unit]:
    """Every unit in execution order: each Conv2d but the stem (MwT masks all convolutions but the first).

    Raises:
        UntraceableModelError: torch.fx cannot trace the model.
    """
    network = trace(model)
    units = []
    for name, site in unit_sites(network).items():
        conv = unit_conv(network, site)
        norm = None if site.norm is None else str(site.norm.target)
        units.append(Unit(name, norm, conv.in_channels, conv.out_channels))
    return units
