"""Which layers are units: the convolutions and Linear layers whose neurons masks keep or drop."""

from dataclasses import dataclass

from torch import nn

from core.surgery.sites import unit_layer, unit_sites, width_of
from core.surgery.tracing import trace


@dataclass(frozen=True)
class Unit:
    """One masked layer.

    Attributes:
        name: The layer's qualified name in the model as its author wrote it.
        norm: The name of the batch normalisation behind it, if it has one; the mask acts after it.
        in_channels: Channels (features) the layer reads.
        width: Neurons: output channels (features).
        tokens: A Linear layer over tokens (N, T, in_channels).
        hidden: A Linear layer over vectors (N, in_channels). If neither, a convolution of maps (N, C, H, W).
    """

    name: str
    norm: str | None
    in_channels: int
    width: int
    tokens: bool = False
    hidden: bool = False


def find_units(model: nn.Module) -> list[Unit]:
    """Every unit in execution order.

    Convolutions: all but the first (MwT), without groups or with one per channel. Transformers: the Linear
    layers over tokens from the second encoder block on (NeMo: q, k, v, proj, fc1, fc2). Hidden Linear layers
    behind others (MODA), which MwT and NeMo leave whole.

    Raises:
        UntraceableModelError: torch.fx cannot trace the model.
    """
    network = trace(model)
    units = []
    for name, site in unit_sites(network).items():
        layer = unit_layer(network, site)
        norm = None if site.norm is None else str(site.norm.target)
        inputs = layer.in_channels if isinstance(layer, nn.Conv2d) else layer.in_features
        tokens = isinstance(layer, nn.Linear) and not site.hidden
        units.append(Unit(name, norm, inputs, width_of(layer), tokens, site.hidden))
    return units
