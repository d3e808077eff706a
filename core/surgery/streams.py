"""Units that write one sum: a residual stream keeps every channel that any of its writers keeps."""

from torch import fx, nn

from core.surgery.arithmetic import add
from core.surgery.flow import ChannelFlow
from core.surgery.rules import passes, rule_for
from core.surgery.sites import unit_layer, unit_sites, width_of
from core.surgery.tracing import trace

# Stands for whatever is no unit: the stem, a product, a concatenation.
_OTHER = ""


def stream_groups(model: nn.Module) -> list[tuple[str, ...]]:
    """Groups of units, in execution order, whose outputs are added up and nothing else with them.

    Where something else is added too, they are in no group: a stream with the stem in it (a ResNet's first
    stage) is whole whatever its units drop. Products (squeeze-excitation) count as something else.
    """
    network = trace(model)
    flow, sites = ChannelFlow(network, {}), unit_sites(network)
    ends = {site.end: name for name, site in sites.items()}
    widths = {name: width_of(unit_layer(network, site)) for name, site in sites.items()}
    writers: dict[fx.Node, set[str]] = {}
    streams: list[set[str]] = []
    for node in network.graph.nodes:
        writers[node] = _writers(flow, node, ends, writers)
        if len(writers[node]) > 1:
            streams = _merged(streams, writers[node])
    order = list(sites)
    return [
        tuple(sorted(stream, key=order.index))
        for stream in streams
        if _OTHER not in stream
        and len({widths[name] for name in stream}) == 1  # one map may fit all channels
    ]


def _writers(
    flow: ChannelFlow, node: fx.Node, ends: dict[fx.Node, str], writers: dict[fx.Node, set[str]]
) -> set[str]:
    """Whose outputs a value is the sum of."""
    if node in ends:
        return {ends[node]}
    if passes(flow, node) or rule_for(flow, node) is add:
        return set().union(*(writers[source] for source in node.all_input_nodes)) or {_OTHER}
    return {_OTHER}


def _merged(streams: list[set[str]], found: set[str]) -> list[set[str]]:
    """The streams, one of which holds all of `found`: what two sums share belongs to one stream."""
    apart = [stream for stream in streams if not stream & (found - {_OTHER})]
    joined = [stream for stream in streams if stream & (found - {_OTHER})]
    return [*apart, found.union(*joined)]
