"""Which neurons of an unmasked network fire for a sample, unit by unit."""

import operator
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn

from core.surgery.inplace import add_in_place
from core.surgery.layers import MAPS
from core.surgery.sites import layer_calls, layer_of, unit_sites

_SUMS = (operator.add, torch.add, add_in_place, "add", "add_")
RELUS = (nn.ReLU, nn.ReLU6)


@contextmanager
def recorded_firing(network: fx.GraphModule, *, behind_sums: bool) -> Iterator[dict[str, Tensor]]:
    """Unit -> (N, n) 0/1, filled anew by every forward pass: is the neuron above zero at any place?

    Args:
        network: without mask generators.
        behind_sums: look at the ReLU a unit feeds, behind a residual sum too (MODA); else at the unit's own
            output, where its mask would act.
    """
    fired: dict[str, Tensor] = {}
    readers = _relus(network) if behind_sums else {}
    with ExitStack() as handles:
        for name, site in unit_sites(network).items():
            layer = layer_of(network, readers.get(name, site.norm or site.layer))
            if layer is not None:
                handles.callback(layer.register_forward_hook(_record(fired, name)).remove)
        yield fired


def _record(fired: dict[str, Tensor], unit: str) -> Any:
    def hook(_layer: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if output.dim() > 2:  # maps (N, C, H, W) or tokens (N, T, D), not vectors
            output = output.amax(dim=(2, 3) if output.dim() == MAPS else 1)
        fired[unit] = (output > 0).float()

    return hook


@contextmanager
def recorded_activations(network: fx.GraphModule) -> Iterator[dict[str, Tensor]]:
    """Name of each ReLU -> (N, n) mean of its absolute output over places (MODA), with gradient."""
    values: dict[str, Tensor] = {}

    def record(name: str) -> Any:
        def hook(_layer: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
            values[name] = output.abs().flatten(2).mean(dim=2) if output.dim() > 2 else output.abs()

        return hook

    with ExitStack() as handles:
        for name, layer in network.named_modules():
            if isinstance(layer, RELUS):
                handles.callback(layer.register_forward_hook(record(name)).remove)
        yield values


def _relus(network: fx.GraphModule) -> Mapping[str, fx.Node]:
    """Unit -> the ReLU layer its output goes to, directly or through sums; units without one are left out."""
    calls, found = layer_calls(network), {}
    for name, site in unit_sites(network).items():
        node: fx.Node | None = site.end
        while node is not None and not isinstance(layer_of(network, node), RELUS):
            node = next(iter(node.users)) if len(node.users) == 1 and _keeps_channels(network, node) else None
        if node is not None and calls[id(layer_of(network, node))] == 1:
            found[name] = node
    return found


def _keeps_channels(network: fx.GraphModule, node: fx.Node) -> bool:
    reader = next(iter(node.users))
    return isinstance(layer_of(network, reader), RELUS) or reader.target in _SUMS
