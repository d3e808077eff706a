"""What each operation does to the channels it is given: one rule per operation, and pinning for the rest.

A channel may be absent only where it is exactly zero. An operation that acts on each channel alone and maps
zero to zero passes a channel set on; any other gets whole inputs (`ChannelFlow.pin`). Fail safe: an unknown
operation costs compression, never correctness.
"""

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from core.surgery.flow import ChannelFlow, ChannelSet, channel_set
from core.surgery.inplace import add_in_place, divide_in_place, multiply_in_place, subtract_in_place
from core.surgery.layers import apply_mask
from core.surgery.slicing import slice_columns, slice_rows

Rule = Callable[[ChannelFlow, fx.Node], ChannelSet]

# Per channel, and zero to zero.
_PASSING_LAYERS: tuple[type[nn.Module], ...] = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish, nn.Tanh, nn.Softsign,
    nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Upsample,
    nn.Dropout, nn.Dropout2d, nn.Identity,
)  # fmt: skip
_PASSING_FUNCTIONS: tuple[Callable[..., Any], ...] = (
    F.relu, torch.relu, F.relu6, F.leaky_relu, F.elu, F.gelu, F.silu, F.mish, F.hardswish, torch.tanh, F.tanh,
    F.softsign, F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d, F.adaptive_max_pool2d, F.interpolate,
    F.dropout, F.dropout2d, torch.abs, operator.neg,
)  # fmt: skip
_PASSING_METHODS = ("relu", "relu_", "tanh", "tanh_", "abs", "neg", "contiguous", "clone", "detach")


def rule_for(flow: ChannelFlow, node: fx.Node) -> Rule:
    """The rule of a node's operation."""
    if node.op in ("placeholder", "get_attr", "output"):
        return _whole
    key: Any = node.target if node.op != "call_module" else type(flow.layer(node))
    return _RULES.get(key, _unknown)


def passes(flow: ChannelFlow, node: fx.Node) -> bool:
    """Whether the node's operation acts on each channel alone and maps zero to zero."""
    return rule_for(flow, node) is _pass


def whole_set(flow: ChannelFlow, node: fx.Node) -> Tensor:
    """What a value holds, written out as bool (full width,)."""
    held = flow.sets[node]
    return torch.ones(flow.shape(node)[1], dtype=torch.bool) if held is None else held


def _whole(_flow: ChannelFlow, _node: fx.Node) -> ChannelSet:
    return None


def _unknown(flow: ChannelFlow, node: fx.Node) -> ChannelSet:
    layer = flow.layer(node)
    what = getattr(node.target, "__name__", node.target) if layer is None else type(layer).__name__
    return flow.pin(node, f"no rule says that {what} keeps absent channels zero")


def _pass(flow: ChannelFlow, node: fx.Node) -> ChannelSet:
    if len(node.all_input_nodes) != 1:
        return _unknown(flow, node)
    source = node.all_input_nodes[0]
    if flow.shape(source)[:2] != flow.shape(node)[:2]:  # e.g. a pooling that also returns indices
        return _unknown(flow, node)
    return flow.sets[source]


def _read(flow: ChannelFlow, node: fx.Node) -> ChannelSet:
    """Convolution or Linear: columns follow the input, rows follow the unit's mask."""
    layer, source = flow.layer(node), node.all_input_nodes[0]
    held = flow.sets[source]
    if not isinstance(layer, nn.Conv2d | nn.Linear) or not flow.called_once(node):
        return flow.pin(node, "the layer is called more than once")
    if isinstance(layer, nn.Conv2d) and layer.groups != 1:
        return flow.pin(node, "grouped convolutions are not cut")
    if isinstance(layer, nn.Linear) and len(flow.shape(source)) != 2:
        return flow.pin(node, "the Linear layer does not read channels")
    if held is not None:
        slice_columns(layer, held.nonzero().flatten())
    return _cut_rows(flow, node, layer)


def _normalise(flow: ChannelFlow, node: fx.Node) -> ChannelSet:
    layer = flow.layer(node)
    if node in flow.rows and isinstance(layer, nn.BatchNorm2d):
        return _cut_rows(flow, node, layer)
    return flow.pin(node, "batch normalisation outside a unit turns zero into a constant")


def _cut_rows(flow: ChannelFlow, node: fx.Node, layer: nn.Conv2d | nn.Linear | nn.BatchNorm2d) -> ChannelSet:
    rows = flow.rows.get(node)
    if rows is not None:
        slice_rows(layer, rows.nonzero().flatten())
    return rows


def _add(flow: ChannelFlow, node: fx.Node) -> ChannelSet:
    """Sum: what any operand holds; narrower operands are scattered to that."""
    operands = node.all_input_nodes
    plain = all(isinstance(a, fx.Node) for a in node.args) and not node.kwargs.keys() - {"alpha"}
    if not plain or not _aligned(flow, operands):
        return flow.pin(node, "the sum adds something that is not a channel of the same place")
    union = whole_set(flow, operands[0])
    for operand in operands[1:]:
        union = union | whole_set(flow, operand)
    return _fit_all(flow, node, union)


def _multiply(flow: ChannelFlow, node: fx.Node) -> ChannelSet:
    """Product: what every operand holds; wider operands are gathered to that."""
    operands = node.all_input_nodes
    if len(operands) == 1:  # times a number, or with itself
        return flow.sets[operands[0]]
    if not (_aligned(flow, operands) or node.target is apply_mask):
        return flow.pin(node, "the product's operands have different shapes")
    common = whole_set(flow, operands[0])
    for operand in operands[1:]:
        common = common & whole_set(flow, operand)
    if not bool(common.any()):
        return flow.pin(node, "the product's operands have no channel in common")
    return _fit_all(flow, node, common)


def _divide(flow: ChannelFlow, node: fx.Node) -> ChannelSet:
    if isinstance(_argument(node, 1, "other", None), int | float):
        return flow.sets[node.all_input_nodes[0]]
    return flow.pin(node, "division by an absent channel is undefined")


def _concatenate(flow: ChannelFlow, node: fx.Node) -> ChannelSet:
    dim = _argument(node, 1, "dim", 0)
    tensors = node.args[0] if node.args else node.kwargs.get("tensors")
    if not isinstance(tensors, list | tuple) or not isinstance(dim, int):
        return _unknown(flow, node)
    sources = [source for source in tensors if isinstance(source, fx.Node)]
    if dim % len(flow.shape(node)) != 1 or len(sources) != len(tensors):
        return flow.pin(node, "the concatenation is not along channels")
    return channel_set(torch.cat([whole_set(flow, source) for source in sources]))


def _flatten(flow: ChannelFlow, node: fx.Node) -> ChannelSet:
    """(N, C, H, W) -> (N, C*H*W): each channel becomes H*W columns. A view may spell it with fixed sizes."""
    source = node.all_input_nodes[0]
    held, before, after = flow.sets[source], flow.shape(source), flow.shape(node)
    if held is None:
        return None
    if node.target not in ("view", "reshape") and after[:2] == before[:2]:
        return held  # only dimensions behind the channels are joined
    if len(after) != 2 or after != (before[0], math.prod(before[1:])):
        return flow.pin(node, "the reshape moves values between channels")
    if node.op == "call_method":
        node.op, node.target, node.args, node.kwargs = "call_function", torch.flatten, (source, 1), {}
    return held.repeat_interleave(math.prod(before[2:]))


def _reduce(flow: ChannelFlow, node: fx.Node) -> ChannelSet:
    """mean, sum, amax, squeeze over dimensions behind the channels."""
    dims = _argument(node, 1, "dim", None)
    dims = [dims] if isinstance(dims, int) else dims
    source = node.all_input_nodes[0]
    constant = isinstance(dims, Sequence) and all(isinstance(d, int) for d in dims)
    if not constant or not dims or any(d % len(flow.shape(source)) < 2 for d in dims):
        return flow.pin(node, "it reduces over channels")
    return flow.sets[source]


def _shape_query(flow: ChannelFlow, node: fx.Node) -> ChannelSet:
    """size(0), size()[0], shape[0]: the batch size is that of the cut value too; other sizes are not."""
    what = _argument(node, 1, "dim", None)
    batch_taken = all(reader.target is operator.getitem and reader.args[1] == 0 for reader in node.users)
    if what in ("device", "dtype", 0) or (what in (None, "shape") and batch_taken):
        return None
    return flow.pin(node, "its size is asked for")


def _fit_all(flow: ChannelFlow, node: fx.Node, target: Tensor) -> ChannelSet:
    chosen = channel_set(target)
    for operand in list(node.all_input_nodes):
        flow.fit(node, operand, chosen)
    return chosen


def _aligned(flow: ChannelFlow, operands: Sequence[fx.Node]) -> bool:
    """Whether index i of dimension 1 means the same channel in each operand."""
    shapes = [flow.shape(operand) for operand in operands]
    return all(len(s) == len(shapes[0]) >= 2 and s[1] == shapes[0][1] for s in shapes)


def _argument(node: fx.Node, position: int, name: str, default: Any) -> Any:
    return node.args[position] if len(node.args) > position else node.kwargs.get(name, default)


_RULES: dict[Any, Rule] = {
    **dict.fromkeys(_PASSING_LAYERS + _PASSING_FUNCTIONS + _PASSING_METHODS, _pass),
    **dict.fromkeys((nn.Conv2d, nn.Linear), _read),
    nn.BatchNorm2d: _normalise,
    **dict.fromkeys((operator.add, add_in_place, operator.sub, subtract_in_place), _add),
    **dict.fromkeys((torch.add, "add", "add_"), _add),
    **dict.fromkeys((operator.mul, multiply_in_place, torch.mul, "mul", "mul_", apply_mask), _multiply),
    **dict.fromkeys((operator.truediv, divide_in_place, "div"), _divide),
    **dict.fromkeys((torch.cat, torch.concat, torch.concatenate), _concatenate),
    **dict.fromkeys((nn.Flatten, torch.flatten, "flatten", "view", "reshape"), _flatten),
    **dict.fromkeys((torch.mean, torch.sum, torch.amax, "mean", "sum", "amax", "squeeze"), _reduce),
    **dict.fromkeys(("size", getattr), _shape_query),
}
