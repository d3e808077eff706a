"""Neurons that a mask keeps and nothing can use: their only reader loses what it would pair them with."""

from collections.abc import Mapping

from torch import Tensor, fx, nn

from core.masks import ModuleMask
from core.surgery.attention import HeadAttention
from core.surgery.flow import ChannelFlow
from core.surgery.rules import passes
from core.surgery.sites import UnitSite, is_depthwise


def needed_neurons(flow: ChannelFlow, sites: Mapping[str, UnitSite], mask: ModuleMask) -> dict[str, Tensor]:
    """Unit name -> bool (width,), within the mask; at least one neuron stays.

    A channel of q counts only times the same channel of k, and a channel that goes into a depthwise
    convolution only if the convolution keeps it (MODA's rule for MobileNet).
    """
    needed = {name: mask[name] for name in mask}
    writers = {site.end: name for name, site in sites.items() if name in mask}
    for node in flow.network.graph.nodes:
        layer = flow.layer(node)
        if isinstance(layer, HeadAttention) and flow.called_once(node) and len(node.all_input_nodes) == 3:
            _pair(node, layer, writers, needed)
    for site in reversed(list(sites.values())):
        layer = flow.layer(site.layer)
        writer = _writer(flow, site.layer, writers) if site.end in writers else None
        if writer is not None and isinstance(layer, nn.Conv2d) and is_depthwise(layer):
            needed[writer] = _within(needed[writer], needed[writers[site.end]])
    return needed


def _pair(
    node: fx.Node, layer: HeadAttention, writers: Mapping[fx.Node, str], needed: dict[str, Tensor]
) -> None:
    """Drop from q what k lacks and the other way round."""
    names = [writers.get(value) if len(value.users) == 1 else None for value in node.all_input_nodes[:2]]
    q, k = names
    if q is None or k is None:
        return
    q_paired, k_paired = layer.paired(needed[q], needed[k])
    needed[q], needed[k] = _within(needed[q], q_paired), _within(needed[k], k_paired)


def _writer(flow: ChannelFlow, node: fx.Node, writers: Mapping[fx.Node, str]) -> str | None:
    """The unit that writes what `node` alone reads; per-channel operations may lie between."""
    value = node.all_input_nodes[0]
    while len(value.users) == 1 and value not in writers:
        if not passes(flow, value) or len(value.all_input_nodes) != 1:
            return None
        value = value.all_input_nodes[0]
    return writers.get(value) if len(value.users) == 1 else None


def _within(kept: Tensor, wanted: Tensor) -> Tensor:
    """Both, or the first kept neuron if they have none in common: a layer without rows cannot be built."""
    both = kept & wanted
    if not bool(both.any()):
        both = kept.clone()
        both[int(kept.nonzero()[0]) + 1 :] = False
    return both
