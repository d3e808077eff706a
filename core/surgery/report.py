"""What an extraction says of what stayed full width: channels that had to be kept, layers no mask reaches."""

from collections.abc import Mapping

from torch import fx, nn

from core.surgery.flow import ChannelFlow
from core.surgery.sites import GENERATORS, UnitSite, layer_calls, layer_of, logit_writers

_NOTHING = "every unit is cut to its mask"


def uncut_layers(flow: ChannelFlow, sites: Mapping[str, UnitSite]) -> list[str]:
    """One sentence for each layer with weights whose outputs no mask names, in execution order."""
    network = flow.network
    units, calls = {site.layer for site in sites.values()}, layer_calls(network)
    norms, last = {site.norm for site in sites.values()}, logit_writers(network)
    sentences = []
    for node in network.graph.nodes:
        layer = layer_of(network, node)
        weight = getattr(layer, "weight", getattr(layer, "in_proj_weight", None))
        if layer is None or weight is None or weight.dim() < 2 or node in units or node in norms:
            continue
        if not str(node.target).startswith(f"{GENERATORS}."):
            reason = "it writes the logits" if node in last else _reason(flow, node, layer, calls[id(layer)])
            sentences.append(f"{node.target} is no unit: {reason}")
    return sentences


def lines(notes: tuple[str, ...], uncut: tuple[str, ...]) -> str:
    """The report as text, one fact a line."""
    return "\n".join([*(notes or (_NOTHING,)), *uncut])


def _reason(flow: ChannelFlow, node: fx.Node, layer: nn.Module, calls: int) -> str:
    if calls > 1:
        return "it is called more than once"
    if type(layer) is nn.Conv2d:
        return "a grouped convolution" if layer.groups > 1 else "the first convolution is never masked"
    if type(layer) is nn.Linear:
        if len(flow.shape(node)) == 2:
            return "the first layer is never masked"
        return "it lies outside the encoder blocks from the second on"
    if isinstance(layer, nn.MultiheadAttention):
        return "nn.MultiheadAttention keeps its q, k and v in one parameter"
    return f"a {type(layer).__name__} is neither a Conv2d nor a Linear"
