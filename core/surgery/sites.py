"""Where in a graph each unit writes its neurons: its layer, its normalisation and its mask."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias, cast

from torch import Tensor, fx, nn

from core.errors import MaskMismatchError
from core.surgery.arguments import only_reader
from core.surgery.layers import apply_mask
from core.surgery.ranks import Ranks, attends, value_ranks

GENERATORS = "mask_generators"
NORMS = "mask_norms"
UnitLayer: TypeAlias = nn.Conv2d | nn.Linear
_TOKENS = 3  # dimensions of (N, T, D)
_VECTORS = 2  # of (N, D)


def attribute_key(unit_name: str) -> str:
    """A unit's name as one attribute name."""
    return unit_name.replace(".", "__")


@dataclass(frozen=True)
class UnitSite:
    """A unit's nodes. Each but the last has the next one as its only reader.

    `hidden`: a Linear layer over vectors (N, D). Masks may leave such a unit out: it stays whole.
    """

    layer: fx.Node
    norm: fx.Node | None
    gate: fx.Node | None
    hidden: bool = False

    @property
    def end(self) -> fx.Node:
        """The node whose value is the unit's output: where its mask acts."""
        return self.gate or self.norm or self.layer

    def copied(self, copies: Mapping[fx.Node, fx.Node]) -> "UnitSite":
        """The same site in a copy of the graph."""
        norm, gate = self.norm and copies[self.norm], self.gate and copies[self.gate]
        return UnitSite(copies[self.layer], norm, gate, self.hidden)


def unit_sites(network: fx.GraphModule) -> dict[str, UnitSite]:
    """Every unit of a traced network by name, in execution order.

    A unit is a Conv2d that is not the stem (no convolution or Linear lies before it) and has no groups or one
    per channel; a Linear over tokens (N, T, D) from the second encoder block on; or a hidden Linear over
    vectors (N, D), behind another layer. It does not write the
    logits (`logit_writers`): their neurons are the classes. It is called once: two calls of one layer would
    need two masks. Subclasses (a parametrised convolution computes its weights anew
    at each call) are no units: extraction cuts exactly the types it has rules for.
    """
    calls = layer_calls(network)
    tokens, last, ranks = token_units(network), logit_writers(network), value_ranks(network)
    deep: set[fx.Node] = set()
    sites: dict[str, UnitSite] = {}
    for node in network.graph.nodes:
        behind = any(source in deep for source in node.all_input_nodes)
        layer = layer_of(network, node)
        if behind or isinstance(layer, nn.Conv2d | nn.Linear):
            deep.add(node)
        hidden = type(layer) is nn.Linear and ranks.get(node) == _VECTORS
        convolves = type(layer) is nn.Conv2d and (layer.groups == 1 or is_depthwise(layer))
        maskable = hidden or node in tokens or convolves
        if behind and maskable and node not in last and calls[id(layer)] == 1:
            name = str(node.target)
            if not name.startswith(f"{GENERATORS}."):
                sites[name] = _site(network, node, calls, hidden=hidden)
    return sites


def logit_writers(network: fx.GraphModule) -> set[fx.Node]:
    """The convolutions and Linear layers with no other of them on some way to the output."""
    found, waiting, seen = set[fx.Node](), list(network.graph.output_node().all_input_nodes), set[fx.Node]()
    while waiting:
        node = waiting.pop()
        if isinstance(layer_of(network, node), nn.Conv2d | nn.Linear):
            found.add(node)
        elif node not in seen:
            seen.add(node)
            waiting += node.all_input_nodes
    return found


def token_units(network: fx.GraphModule) -> set[fx.Node]:
    """The Linear layers over tokens from the second encoder block on (NeMo leaves the first one whole)."""
    attentions = [node for node in network.graph.nodes if attends(network, node)]
    if len(attentions) < 2:
        return set()
    ranks, position = value_ranks(network), {node: i for i, node in enumerate(network.graph.nodes)}
    start = min(position[node] for node in [attentions[1], *_projections(network, attentions[1], ranks)])
    return {
        node for node in network.graph.nodes
        if position[node] >= start and _reads_tokens(network, node, ranks)
    }  # fmt: skip


def _projections(network: fx.GraphModule, attention: fx.Node, ranks: Ranks) -> list[fx.Node]:
    """The Linear layers that write an attention's q, k and v: no other layer with weights lies between."""
    found, waiting, seen = [], list(attention.all_input_nodes), set[fx.Node]()
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if _reads_tokens(network, node, ranks):
            found.append(node)
        elif (
            not isinstance(layer_of(network, node), nn.Linear | nn.LayerNorm) and ranks.get(node) is not None
        ):
            waiting += node.all_input_nodes
    return found


def _reads_tokens(network: fx.GraphModule, node: fx.Node, ranks: Ranks) -> bool:
    return type(layer_of(network, node)) is nn.Linear and ranks.get(node) == _TOKENS


def is_depthwise(layer: nn.Conv2d) -> bool:
    """One group per channel, in and out."""
    return 1 < layer.groups == layer.in_channels == layer.out_channels


def unit_layer(network: fx.GraphModule, site: UnitSite) -> UnitLayer:
    """The unit's convolution or Linear layer."""
    return cast(UnitLayer, layer_of(network, site.layer))


def width_of(layer: UnitLayer) -> int:
    """A unit's neurons."""
    return layer.out_channels if isinstance(layer, nn.Conv2d) else layer.out_features


def layer_of(network: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    """The layer a node calls, or None if the node calls none."""
    return network.get_submodule(str(node.target)) if node.op == "call_module" else None


def layer_calls(network: fx.GraphModule) -> Counter[int]:
    """How often the graph calls each layer, by id: one layer may have several names."""
    return Counter(id(layer_of(network, node)) for node in network.graph.nodes if node.op == "call_module")


def require_fit(sites: Mapping[str, UnitSite], network: fx.GraphModule, values: Mapping[str, Tensor]) -> None:
    """Raises MaskMismatchError unless `values` has one entry per neuron of each unit, and no other units.

    Hidden Linear units may be missing.
    """
    if unknown := sorted(values.keys() - sites.keys()):
        raise MaskMismatchError(f"the network has no unit {unknown[0]!r}")
    needed = {name for name, site in sites.items() if not site.hidden}
    if missing := sorted(needed - values.keys()):
        raise MaskMismatchError(f"nothing is said about unit {missing[0]!r}")
    for name, value in values.items():
        width = width_of(unit_layer(network, sites[name]))
        if tuple(value.shape) != (width,):
            raise MaskMismatchError(f"unit {name!r} has {width} neurons; got shape {tuple(value.shape)}")


def _site(network: fx.GraphModule, layer: fx.Node, calls: Counter[int], *, hidden: bool) -> UnitSite:
    norm, gate = None, None
    normalisation = nn.BatchNorm1d if hidden else nn.BatchNorm2d
    reader = only_reader(layer)
    follower = None if reader is None else layer_of(network, reader)
    if reader is not None and type(follower) is normalisation and calls[id(follower)] == 1:
        norm, reader = reader, only_reader(reader)
    if reader is not None and reader.target is apply_mask and reader.args[0] is (norm or layer):
        gate = reader
    return UnitSite(layer, norm, gate, hidden)
