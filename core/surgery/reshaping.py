"""Rules of operations that move, join or drop dimensions."""

import math
import operator
from collections.abc import Sequence

import torch
from torch import Tensor, fx

from core.surgery.arguments import argument, dimensions
from core.surgery.flow import ChannelFlow, Channels, ChannelSet

_VIEWS = ("view", "reshape", torch.reshape)
# Other rules rely on the batch, whose size in `flow.shapes` stands for any, being the first dimension.
_MOVES_BATCH = "the batch does not stay the first dimension"


def reshape(flow: ChannelFlow, node: fx.Node) -> ChannelSet:
    """Join neighbouring dimensions: (N, C, H, W) -> (N, C*H*W) repeats each channel H*W times.

    A view may spell it with fixed sizes, which no longer fit; it becomes a flatten.
    """
    source = argument(node, 0, "input", None)
    held = flow.sets[source] if isinstance(source, fx.Node) else None
    if not isinstance(source, fx.Node) or held is None:
        return flow.pin(node, "its sizes are read off a value that lacks channels")
    before, after = flow.shape(source), flow.shape(node)
    block = _joined_block(before, after)
    if block is None:
        return flow.pin(node, "the reshape moves values between channels")
    if block.start == 0 and held.axis in block:  # how often each channel comes depends on the batch
        return flow.pin(node, "the reshape joins channels with the batch")
    if node.target in _VIEWS:
        node.op, node.target = "call_function", torch.flatten
        node.args, node.kwargs = (source, block.start, block.stop - 1), {}
    if held.axis < block.start:
        return held
    if held.axis >= block.stop:
        return Channels(held.kept, held.axis - len(block) + 1)
    return Channels(_spread(held, before, block), block.start)


def _joined_block(before: Sequence[int], after: Sequence[int]) -> range | None:
    """Which dimensions of `before` become one of `after`, the others staying as they are."""
    joined = len(before) - len(after) + 1
    if joined < 1:
        return None
    for start in range(len(after)):
        stop = start + joined
        outside = before[:start] == after[:start] and before[stop:] == after[start + 1 :]
        if outside and math.prod(before[start:stop]) == after[start]:
            return range(start, stop)
    return None


def _spread(held: Channels, before: Sequence[int], block: range) -> Tensor:
    """The set of the joined dimension: each channel once for every place of the others."""
    shape = [1] * len(block)
    shape[held.axis - block.start] = held.kept.numel()
    return held.kept.view(shape).expand([before[dim] for dim in block]).flatten()


def permute(flow: ChannelFlow, node: fx.Node) -> ChannelSet:
    """The channel dimension goes to another place."""
    source = node.all_input_nodes[0]
    spread = node.args[1:] if len(node.args) > 2 else None
    order = spread or dimensions(node, 1, "dims", len(flow.shape(source)))
    held, rank = flow.sets[source], len(flow.shape(source))
    if held is None or order is None or not all(isinstance(dim, int) for dim in order):
        return flow.pin(node, "the order of its dimensions is not constant")
    places = [dim % rank for dim in order if isinstance(dim, int)]
    if places[0] != 0:
        return flow.pin(node, _MOVES_BATCH)
    return Channels(held.kept, places.index(held.axis))


def transpose(flow: ChannelFlow, node: fx.Node) -> ChannelSet:
    """Two dimensions change places."""
    source = node.all_input_nodes[0]
    held, rank = flow.sets[source], len(flow.shape(source))
    first, second = argument(node, 1, "dim0", None), argument(node, 2, "dim1", None)
    if held is None or not isinstance(first, int) or not isinstance(second, int):
        return flow.pin(node, "the order of its dimensions is not constant")
    places = {first % rank: second % rank, second % rank: first % rank}
    if places.get(0, 0) != 0:
        return flow.pin(node, _MOVES_BATCH)
    return Channels(held.kept, places.get(held.axis, held.axis))


def reduce(flow: ChannelFlow, node: fx.Node) -> ChannelSet:
    """mean, sum, amax, squeeze over other dimensions than the channels'."""
    source = node.all_input_nodes[0]
    held, dims = flow.sets[source], dimensions(node, 1, "dim", len(flow.shape(source)))
    if held is None or dims is None or held.axis in dims:
        return flow.pin(node, "it reduces over channels")
    gone = len(flow.shape(source)) - len(flow.shape(node))
    if 0 in dims or gone not in (0, len(dims)):  # a squeeze drops dimensions of size 1 only
        return flow.pin(node, "which dimensions it drops depends on the batch or on their sizes")
    return Channels(held.kept, held.axis - sum(dim < held.axis for dim in dims) if gone else held.axis)


def index(flow: ChannelFlow, node: fx.Node) -> ChannelSet:
    """x[:, 0] and its kin: constant positions and ranges of other dimensions than the channels'."""
    source = node.all_input_nodes[0]
    held, positions = flow.sets[source], node.args[1]
    parts = positions if isinstance(positions, tuple) else (positions,)
    constant = all(isinstance(part, int | slice) for part in parts) and len(node.all_input_nodes) == 1
    if held is None or not flow.shape(source) or not constant:
        return flow.pin(node, "what it picks is not constant")
    if held.axis < len(parts) and parts[held.axis] != slice(None):
        return flow.pin(node, "it picks channels")
    return Channels(held.kept, held.axis - sum(isinstance(part, int) for part in parts[: held.axis]))


def query_shape(flow: ChannelFlow, node: fx.Node) -> ChannelSet:
    """size(0), shape[2]: the cut value has the same sizes but along its channels."""
    source = node.all_input_nodes[0]
    held, what = flow.sets[source], argument(node, 1, "dim", None)
    if what in ("device", "dtype"):
        return None
    if isinstance(what, str) and what != "shape":  # x.T, x.data: values
        return flow.pin(node, f"no rule says what {what} is of a value that lacks channels")
    if held is not None and isinstance(what, int):
        asked: set[object] = {what % len(flow.shape(source))}
    else:
        readers = [reader.args[1] if reader.target is operator.getitem else None for reader in node.users]
        asked = {place % len(flow.shape(source)) if isinstance(place, int) else None for place in readers}
    if held is not None and held.axis not in asked and None not in asked:
        return None
    return flow.pin(node, "its size is asked for")
