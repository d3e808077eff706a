"""Rules of operations on several values: sums, products, concatenations."""

from collections.abc import Callable
from functools import reduce

import torch
from torch import Tensor, fx

from core.surgery.arguments import argument
from core.surgery.flow import ChannelFlow, ChannelSet, channel_set
from core.surgery.layers import apply_mask, channel_axis


def add(flow: ChannelFlow, node: fx.Node) -> ChannelSet:
    """Sum: what any operand holds; narrower operands are scattered to that."""
    axes = _axes(flow, node)
    plain = all(isinstance(a, fx.Node) for a in node.args) and not node.kwargs.keys() - {"alpha"}
    if not plain or axes is None or len(axes) < len(node.all_input_nodes):
        return flow.pin(node, "the sum adds something that is not a channel of the same place")
    union = _joined(flow, axes, torch.logical_or)
    return _fit_all(flow, node, axes, union)


def multiply(flow: ChannelFlow, node: fx.Node) -> ChannelSet:
    """Product: what every operand holds; wider operands are gathered to that. Constants do not count."""
    operands = node.all_input_nodes
    if len(operands) == 1:  # times a number, or with itself
        return flow.sets[operands[0]]
    axes = _mask_axes(flow, node) if node.target is apply_mask else _axes(flow, node)
    if axes is None:
        return flow.pin(node, "the product's operands have different shapes")
    common = _joined(flow, axes, torch.logical_and)
    if not bool(common.any()):
        return flow.pin(node, "the product's operands have no channel in common")
    return _fit_all(flow, node, axes, common)


def divide(flow: ChannelFlow, node: fx.Node) -> ChannelSet:
    """Division by a number."""
    if isinstance(argument(node, 1, "other", None), int | float):
        return flow.sets[node.all_input_nodes[0]]
    return flow.pin(node, "division by an absent channel is undefined")


def concatenate(flow: ChannelFlow, node: fx.Node) -> ChannelSet:
    """Sets side by side along channels; along another dimension all parts get what any of them holds."""
    dim = argument(node, 1, "dim", node.kwargs.get("axis", 0))  # torch takes either name
    tensors = node.args[0] if node.args else node.kwargs.get("tensors")
    if not isinstance(tensors, list | tuple) or not isinstance(dim, int):
        return flow.pin(node, "the concatenation's parts are not listed")
    sources = [source for source in tensors if isinstance(source, fx.Node)]
    held = {channels.axis for source in sources if (channels := flow.sets[source]) is not None}
    if len(sources) != len(tensors) or len(held) != 1:
        return flow.pin(node, "the concatenation's parts lack channels along different dimensions")
    axis = held.pop()
    if dim % len(flow.shape(node)) == axis:
        return channel_set(torch.cat([flow.kept(source, axis) for source in sources]), axis)
    axes = dict.fromkeys(sources, axis)
    return _fit_all(flow, node, axes, _joined(flow, axes, torch.logical_or))


def _axes(flow: ChannelFlow, node: fx.Node) -> dict[fx.Node, int] | None:
    """The channel dimension of each operand that has one; an operand that repeats along it has none.

    None: the operands' channels are not those of the result, each at its own place.
    """
    rank, axes = len(flow.shape(node)), dict[fx.Node, int]()
    held = [(source, s) for source in node.all_input_nodes if (s := flow.sets[source]) is not None]
    behind = {len(flow.shape(source)) - channels.axis for source, channels in held}  # counted from the back
    if len(behind) != 1:
        return None
    back = behind.pop()
    for operand in node.all_input_nodes:
        shape = flow.shape(operand)
        if len(shape) >= back and shape[-back] == flow.shape(node)[rank - back] and shape[-back] > 1:
            axes[operand] = len(shape) - back
    return axes if all(source in axes for source, _ in held) else None


def _mask_axes(flow: ChannelFlow, node: fx.Node) -> dict[fx.Node, int]:
    value, mask = (operand for operand in node.args if isinstance(operand, fx.Node))
    return {value: channel_axis(len(flow.shape(value))), mask: 1}


def _joined(flow: ChannelFlow, axes: dict[fx.Node, int], join: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    return reduce(join, (flow.kept(operand, axis) for operand, axis in axes.items()))


def _fit_all(flow: ChannelFlow, node: fx.Node, axes: dict[fx.Node, int], target: Tensor) -> ChannelSet:
    """Give each operand the channels `target` along its own dimension; the result holds them too."""
    for operand, axis in axes.items():
        flow.fit(node, operand, channel_set(target, axis))
    return channel_set(target, _result_axis(flow, node, axes))


def _result_axis(flow: ChannelFlow, node: fx.Node, axes: dict[fx.Node, int]) -> int:
    if node.target is apply_mask:
        return channel_axis(len(flow.shape(node)))
    operand, axis = next(iter(axes.items()))
    return len(flow.shape(node)) - len(flow.shape(operand)) + axis
