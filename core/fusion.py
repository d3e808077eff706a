"""A unit's mask and the ReLU behind it as one operation, while a network trains.

ReLU(y m) = ReLU(y) m for masks m >= 0, and the gradients of both factors follow from the product alone, which
the next layer keeps anyway. One by one the two keep the normalised maps too, and move maps through memory
twice as often.
"""

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from core.surgery.arguments import only_reader
from core.surgery.layers import apply_mask, at_every_place, channel_axis
from core.surgery.sites import layer_of

_RELUS = (F.relu, torch.relu, "relu", F.relu_, torch.relu_, "relu_")
_CACHED = 2**20  # numbers of a product that are still in a processor's cache when they are added up


@contextmanager
def fused_masks(network: fx.GraphModule) -> Iterator[None]:
    """Inside the block the network computes the same by its fused graph, which surgery does not know."""
    plain = network.graph
    network.graph = _fused(network)
    try:
        yield
    finally:
        network.graph = plain


def masked_relu(y: Tensor, m: Tensor, *, hard: bool) -> Tensor:
    """ReLU(y m) of maps (N, C, H, W), tokens (N, T, C) or vectors (N, C), with masks m (N, C) >= 0.

    `hard`: every mask is 0 or 1, but for rounding.
    """
    product: Tensor = _MaskedRelu.apply(y, m, hard)
    return product


def _fused(network: fx.GraphModule) -> fx.Graph:
    graph = copy.deepcopy(network.graph)
    for masked in graph.find_nodes(op="call_function", target=apply_mask):
        reader, generator = only_reader(masked), layer_of(network, masked.args[1])
        if reader is None or not _is_relu(network, reader) or generator is None:
            continue
        with graph.inserting_after(reader):
            hard = getattr(generator, "hard", False)
            fused = graph.call_function(masked_relu, masked.args, {"hard": hard})
        reader.replace_all_uses_with(fused)
        graph.erase_node(reader)
        graph.erase_node(masked)
    return graph


def _is_relu(network: fx.GraphModule, node: fx.Node) -> bool:
    if node.op in {"call_function", "call_method"}:
        return node.target in _RELUS
    return type(layer_of(network, node)) is nn.ReLU


class _MaskedRelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, m: Tensor, hard: bool) -> Tensor:  # apply takes no names
        product = torch.relu(y).mul_(at_every_place(m, y))
        ctx.save_for_backward(product, m)
        ctx.hard = hard
        return product

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        product, m = ctx.saved_tensors
        # Where the product is zero nothing passes; elsewhere y = product / m.
        passed = torch.ops.aten.threshold_backward(gradient, product, 0)
        of_masks = _over_places(passed, product).to(m.dtype)
        if not ctx.hard:
            of_masks = of_masks / m.clamp_min(torch.finfo(m.dtype).tiny)  # 0 / tiny where a mask is 0
            passed = passed.mul_(at_every_place(m, product))
        return passed, of_masks, None


def _over_places(a: Tensor, b: Tensor) -> Tensor:
    """The sum of a b over all places: (N, ..., C) or (N, C, H, W) -> (N, C)."""
    places = [dim for dim in range(1, a.dim()) if dim != channel_axis(a.dim())]
    if not places:
        return a * b
    # A process's share of a batch may be empty.
    samples = len(a) if a.is_cuda else _CACHED // max(1, math.prod(a.shape[1:]))
    pairs = zip(torch.split(a, max(1, samples)), torch.split(b, max(1, samples)), strict=True)
    return torch.cat([(x * y).sum(places) for x, y in pairs])
