"""Rules of layers with weights: convolutions, linear layers, attention, normalisations."""

from torch import fx, nn

from core.surgery.attention import HeadAttention
from core.surgery.flow import ChannelFlow, ChannelSet, channel_set
from core.surgery.sites import is_depthwise
from core.surgery.slicing import Sliceable, slice_columns, slice_depthwise, slice_rows


def convolve(flow: ChannelFlow, node: fx.Node) -> ChannelSet:
    """Columns follow the input, rows the unit's mask."""
    layer, held = flow.layer(node), flow.sets[node.all_input_nodes[0]]
    if type(layer) is not nn.Conv2d or not flow.called_once(node):
        return flow.pin(node, "the layer is called more than once")
    if held is not None and held.axis != 1:  # its rows are cut all the same
        held = flow.pin(node, "the convolution does not read channels where they lie")
    if layer.groups != 1:
        return _convolve_groups(flow, node, layer)
    if held is not None:
        slice_columns(layer, held.kept.nonzero().flatten())
    return _cut_rows(flow, node, layer)


def project(flow: ChannelFlow, node: fx.Node) -> ChannelSet:
    """Linear: columns follow the last dimension of the input, rows the unit's mask."""
    layer, source = flow.layer(node), node.all_input_nodes[0]
    held = flow.sets[source]
    if type(layer) is not nn.Linear or not flow.called_once(node):
        return flow.pin(node, "the layer is called more than once")
    if held is not None and held.axis != len(flow.shape(source)) - 1:
        held = flow.pin(node, "the Linear layer does not read channels")
    if held is not None:
        slice_columns(layer, held.kept.nonzero().flatten())
    return _cut_rows(flow, node, layer)


def attend(flow: ChannelFlow, node: fx.Node) -> ChannelSet:
    """q and k lose what either lacks, per head; the output holds what v holds."""
    layer, values = flow.layer(node), node.all_input_nodes
    one_way = all((held := flow.sets[value]) is None or held.axis == 2 for value in values)
    if not isinstance(layer, HeadAttention) or len(values) != 3 or not one_way or not flow.called_once(node):
        return flow.pin(node, "its q, k and v are not three values of their own")
    q, k, v = (flow.kept(value, 2) for value in values)
    return channel_set(layer.cut(q, k, v), 2)


def normalise_batch(flow: ChannelFlow, node: fx.Node) -> ChannelSet:
    """Batch normalisation of a unit follows its mask; any other needs whole inputs."""
    layer = flow.layer(node)
    if node in flow.rows and isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
        return _cut_rows(flow, node, layer)
    return flow.pin(node, "batch normalisation outside a unit turns zero into a constant")


def normalise(flow: ChannelFlow, node: fx.Node) -> ChannelSet:
    """Layer, group and RMS normalisation."""
    return flow.pin(node, "its statistics are taken over channels, absent ones included")


def _convolve_groups(flow: ChannelFlow, node: fx.Node, layer: nn.Conv2d) -> ChannelSet:
    """One group per channel: input and output hold what the mask keeps; a missing input is zeros."""
    if node not in flow.rows or not is_depthwise(layer):
        return flow.pin(node, "grouped convolutions are not cut")
    kept = flow.rows[node]
    flow.fit(node, node.all_input_nodes[0], channel_set(kept, 1))
    slice_depthwise(layer, kept.nonzero().flatten())
    return channel_set(kept, 1)


def _cut_rows(flow: ChannelFlow, node: fx.Node, layer: Sliceable) -> ChannelSet:
    kept = flow.rows.get(node)
    if kept is None:
        return None
    slice_rows(layer, kept.nonzero().flatten())
    return channel_set(kept, len(flow.shape(node)) - 1 if isinstance(layer, nn.Linear) else 1)
