"""What each operation does to the channels it is given: one rule per operation, and pinning for the rest.

A channel may be absent only where it is exactly zero. An operation that acts on each channel alone and maps
zero to zero passes a channel set on; any other gets whole inputs (`ChannelFlow.pin`). Fail safe: an unknown
operation costs compression, never correctness.
"""

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from core.surgery.arithmetic import add, concatenate, divide, multiply
from core.surgery.attention import HeadAttention
from core.surgery.flow import ChannelFlow, ChannelSet
from core.surgery.inplace import add_in_place, divide_in_place, multiply_in_place, subtract_in_place
from core.surgery.layers import apply_mask
from core.surgery.reading import attend, convolve, normalise, normalise_batch, project
from core.surgery.reshaping import index, permute, query_shape, reduce, reshape, transpose

Rule = Callable[[ChannelFlow, fx.Node], ChannelSet]

# Each value on its own, and zero to zero. Foreign layers by name: surgery does not import their packages.
_ELEMENTWISE_LAYERS: tuple[type[nn.Module] | str, ...] = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish, nn.Tanh, nn.Softsign,
    nn.Dropout, nn.Dropout2d, nn.Identity,
    "torchvision.ops.stochastic_depth.StochasticDepth", "timm.layers.drop.DropPath",
)  # fmt: skip
_ELEMENTWISE_FUNCTIONS: tuple[Callable[..., Any], ...] = (
    F.relu, torch.relu, F.relu6, F.leaky_relu, F.elu, F.gelu, F.silu, F.mish, F.hardswish, torch.tanh, F.tanh,
    F.softsign, F.dropout, F.dropout2d, torch.abs, operator.neg,
)  # fmt: skip
_ELEMENTWISE_METHODS = ("relu", "relu_", "tanh", "tanh_", "abs", "neg", "contiguous", "clone", "detach")
# Each map on its own, and zero to zero.
_POOLING_LAYERS: tuple[type[nn.Module], ...] = (
    nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Upsample,
)  # fmt: skip
_POOLING_FUNCTIONS: tuple[Callable[..., Any], ...] = (
    F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d, F.adaptive_max_pool2d, F.interpolate,
)  # fmt: skip


def walk(flow: ChannelFlow) -> None:
    """Apply each node's rule, from the input to the logits."""
    for node in list(flow.network.graph.nodes):
        cut = node in flow.rows or any(flow.sets[source] is not None for source in node.all_input_nodes)
        flow.sets[node] = rule_for(flow, node)(flow, node) if cut and node.op != "output" else None


def rule_for(flow: ChannelFlow, node: fx.Node) -> Rule:
    """The rule of a node's operation."""
    if node.op != "call_module":
        return _RULES.get(node.target, _unknown)
    kind = type(flow.layer(node))
    return _RULES.get(kind) or _RULES.get(f"{kind.__module__}.{kind.__qualname__}", _unknown)


def passes(flow: ChannelFlow, node: fx.Node) -> bool:
    """Whether the node's operation acts on each channel alone and maps zero to zero."""
    return rule_for(flow, node) in (_pass, _pool)


def _unknown(flow: ChannelFlow, node: fx.Node) -> ChannelSet:
    layer = flow.layer(node)
    what = getattr(node.target, "__name__", node.target) if layer is None else type(layer).__name__
    return flow.pin(node, f"no rule says that {what} keeps absent channels zero")


def _pass(flow: ChannelFlow, node: fx.Node) -> ChannelSet:
    if len(node.all_input_nodes) != 1 or flow.shape(node.all_input_nodes[0]) != flow.shape(node):
        return _unknown(flow, node)
    return flow.sets[node.all_input_nodes[0]]


def _pool(flow: ChannelFlow, node: fx.Node) -> ChannelSet:
    if len(node.all_input_nodes) != 1:
        return _unknown(flow, node)
    source = node.all_input_nodes[0]
    held = flow.sets[source]
    same_maps = flow.shape(source)[:2] == flow.shape(node)[:2]  # not so if it also returns indices
    return held if held is not None and held.axis == 1 and same_maps else _unknown(flow, node)


_RULES: dict[Any, Rule] = {
    **dict.fromkeys(_ELEMENTWISE_LAYERS + _ELEMENTWISE_FUNCTIONS + _ELEMENTWISE_METHODS, _pass),
    **dict.fromkeys(_POOLING_LAYERS + _POOLING_FUNCTIONS, _pool),
    nn.Conv2d: convolve,
    nn.Linear: project,
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d), normalise_batch),
    **dict.fromkeys(
        (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, F.layer_norm, F.group_norm, F.rms_norm), normalise
    ),
    HeadAttention: attend,
    **dict.fromkeys((operator.add, add_in_place, operator.sub, subtract_in_place), add),
    **dict.fromkeys((torch.add, "add", "add_"), add),
    **dict.fromkeys((operator.mul, multiply_in_place, torch.mul, "mul", "mul_", apply_mask), multiply),
    **dict.fromkeys((operator.truediv, divide_in_place, "div"), divide),
    **dict.fromkeys((torch.cat, torch.concat, torch.concatenate), concatenate),
    **dict.fromkeys((nn.Flatten, torch.flatten, "flatten", torch.reshape, "view", "reshape"), reshape),
    **dict.fromkeys((torch.transpose, "transpose", "swapaxes"), transpose),
    **dict.fromkeys((torch.permute, "permute"), permute),
    **dict.fromkeys((torch.mean, torch.sum, torch.amax, "mean", "sum", "amax", "squeeze"), reduce),
    operator.getitem: index,
    **dict.fromkeys(("size", getattr), query_shape),
}
