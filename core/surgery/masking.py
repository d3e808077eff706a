"""Masks in a network: soft ones from mask generators, hard ones from a module mask.

A unit's mask acts on norm(conv(x)) or linear(x), before the non-linearity: an off neuron is exactly zero.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from core.errors import MaskMismatchError
from core.masks import ModuleMask
from core.surgery.arguments import only_reader
from core.surgery.layers import ChannelScale, apply_mask
from core.surgery.sites import (
    GENERATORS,
    NORMS,
    UnitSite,
    attribute_key,
    layer_of,
    require_fit,
    unit_layer,
    unit_sites,
    width_of,
)
from core.surgery.tracing import finish, trace_copy
from core.units import Unit, find_units

__all__ = [
    "apply_mask", "fold_amplitudes", "hard_masked", "has_generators", "insert_generators", "recorded_masks",
    "remove_generators", "scale_units",
]  # fmt: skip


def insert_generators(
    model: nn.Module, factory: Callable[[Unit], nn.Module | None], *, add_norm: bool
) -> fx.GraphModule:
    """A copy of the model in which a generator masks each unit: apply_mask(unit(x), generator(x)).

    Args:
        model: Any traceable network.
        factory: Makes a unit's generator, from what the unit's layer reads - maps (N, in_channels, H, W)
            where `unit.tokens`, tokens (N, T, in_channels); where `unit.hidden`, vectors - to (N, width).
            None: the unit stays as it is.
        add_norm: Give a convolution without batch normalisation one (MwT's masked one always has one). One
            followed by a normalisation of another kind (a subclass with its activation) stays as it is.

    Returns:
        The modular network; the generators lie under `mask_generators`, added norms under `mask_norms`.
    """
    units = {unit.name: unit for unit in find_units(model)}
    network = trace_copy(model)
    for name, site in unit_sites(network).items():
        if site.gate is not None:
            raise MaskMismatchError(f"unit {name!r} has a mask generator already")
        generator = factory(units[name])
        if generator is None:
            continue
        tail = _add_norm(network, name, site) if add_norm and _lacks_norm(network, site) else site.end
        generator.to(unit_layer(network, site).weight).train(network.training)
        target = f"{GENERATORS}.{attribute_key(name)}"
        network.add_submodule(target, generator)
        with network.graph.inserting_after(tail):
            mask = network.graph.call_module(target, (site.layer.all_input_nodes[0],))
        with network.graph.inserting_after(mask):
            masked = network.graph.call_function(apply_mask, (tail, mask))
        _redirect(tail, masked)
    return finish(network)


def remove_generators(modular: fx.GraphModule) -> fx.GraphModule:
    """A copy without the mask generators (each mask becomes 1): same weights, added norms stay."""
    network = trace_copy(modular)
    for site in unit_sites(network).values():
        if site.gate is not None:
            site.gate.replace_all_uses_with(site.norm or site.layer)
            network.graph.erase_node(site.gate)
    return finish(network)


def has_generators(network: fx.GraphModule) -> bool:
    """Whether mask generators are attached: only then is there a gated form."""
    return any(site.gate is not None for site in unit_sites(network).values())


@contextmanager
def recorded_masks(modular: fx.GraphModule) -> Iterator[dict[str, Tensor]]:
    """The soft masks of each forward pass while the context lasts.

    Yields:
        Unit name -> (N, width) with gradient, in unit order, refilled by each forward pass.
    """
    masks: dict[str, Tensor] = {}
    handles = []
    for name, site in unit_sites(modular).items():
        source = None if site.gate is None else site.gate.args[1]
        generator = layer_of(modular, source) if isinstance(source, fx.Node) else None
        if generator is not None:
            handles.append(generator.register_forward_hook(partial(_record, masks, name)))
    try:
        yield masks
    finally:
        for handle in handles:
            handle.remove()


def hard_masked(
    network: nn.Module, mask: ModuleMask, amplitudes: Mapping[str, Tensor] | None = None
) -> fx.GraphModule:
    """A copy of the full network with each unit's output multiplied by the mask: what extraction must equal.

    Args:
        network: Plain or modular.
        mask: One entry per unit (`require_fit`).
        amplitudes: Optional factor per neuron, unit name -> (width,).
    """
    masked = trace_copy(network)
    sites = unit_sites(masked)
    require_fit(sites, masked, mask)
    require_fit(sites, masked, amplitudes if amplitudes is not None else mask)
    for name, kept in mask.items():
        site = sites[name]
        scale = kept.to(unit_layer(masked, site).weight)
        if amplitudes is not None:
            scale = scale * amplitudes[name].to(scale)
        target = f"hard_masks.{attribute_key(name)}"
        masked.add_submodule(target, ChannelScale(scale))
        with masked.graph.inserting_after(site.end):
            product = masked.graph.call_module(target, (site.end,))
        _redirect(site.end, product)
    return finish(masked)


def fold_amplitudes(network: nn.Module, amplitudes: Mapping[str, Tensor]) -> fx.GraphModule:
    """A copy with each unit's output scaled through its weights: unit name -> (width,) factors.

    MwT drops the soft mask values when it cuts a module out; folding their class means in keeps them.
    """
    folded = trace_copy(network)
    scale_units(folded, amplitudes)
    return folded


def scale_units(network: fx.GraphModule, factors: Mapping[str, Tensor]) -> None:
    """Scale each unit's output, unit name -> (width,). In place; other networks keep old parameters."""
    sites = unit_sites(network)
    require_fit(sites, network, factors)
    for name, factor in factors.items():
        _scale_rows(layer_of(network, sites[name].norm or sites[name].layer), factor)


def _scale_rows(layer: nn.Module | None, factor: Tensor) -> None:
    if isinstance(layer, _BatchNorm) and not layer.affine:
        like = layer.running_mean if layer.running_mean is not None else factor
        layer.affine = True
        layer.weight = nn.Parameter(torch.ones_like(like))
        layer.bias = nn.Parameter(torch.zeros_like(like))
    for name in ("weight", "bias"):
        value = getattr(layer, name)
        if value is not None:
            scaled = value.detach() * factor.to(value).reshape(-1, *[1] * (value.dim() - 1))
            setattr(layer, name, nn.Parameter(scaled, value.requires_grad))


def _lacks_norm(network: fx.GraphModule, site: UnitSite) -> bool:
    reader = only_reader(site.layer)
    normed = reader is not None and isinstance(layer_of(network, reader), _BatchNorm)
    return isinstance(unit_layer(network, site), nn.Conv2d) and not normed


def _add_norm(network: fx.GraphModule, unit: str, site: UnitSite) -> fx.Node:
    layer, conv = unit_layer(network, site), site.layer
    target = f"{NORMS}.{attribute_key(unit)}"
    norm = nn.BatchNorm2d(width_of(layer)).to(layer.weight).train(network.training)
    network.add_submodule(target, norm)
    with network.graph.inserting_after(conv):
        node = network.graph.call_module(target, (conv,))
    _redirect(conv, node)
    return node


def _redirect(old: fx.Node, new: fx.Node) -> None:
    """Let every reader of `old`, but `new` itself, read `new`."""
    old.replace_all_uses_with(new, delete_user_cb=lambda user: user is not new)


def _record(
    masks: dict[str, Tensor], unit: str, _generator: nn.Module, _inputs: tuple[Any, ...], output: Tensor
) -> None:
    masks[unit] = output
