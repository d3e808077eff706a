"""Where in a graph each unit writes its neurons: its convolution, its normalisation and its mask."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from torch import Tensor, fx, nn

from core.errors import MaskMismatchError
from core.surgery.layers import apply_mask

GENERATORS = "mask_generators"
NORMS = "mask_norms"


def attribute_key(unit_name: str) -> str:
    """A unit's name as one attribute name."""
    return unit_name.replace(".", "__")


@dataclass(frozen=True)
class UnitSite:
    """A unit's nodes. Each but the last has the next one as its only reader."""

    conv: fx.Node
    norm: fx.Node | None
    gate: fx.Node | None

    @property
    def end(self) -> fx.Node:
        """The node whose value is the unit's output: where its mask acts."""
        return self.gate or self.norm or self.conv


def unit_sites(network: fx.GraphModule) -> dict[str, UnitSite]:
    """Every unit of a traced network by name, in execution order.

    A unit is a Conv2d that is not the stem (no convolution or Linear lies before it), has no groups and is
    called once: two calls of one layer would need two masks. Subclasses (a parametrised convolution computes
    its weights anew at each call) are no units: extraction cuts exactly the types it has rules for.
    """
    calls = layer_calls(network)
    deep: set[fx.Node] = set()
    sites: dict[str, UnitSite] = {}
    for node in network.graph.nodes:
        behind = any(source in deep for source in node.all_input_nodes)
        layer = layer_of(network, node)
        if behind or isinstance(layer, nn.Conv2d | nn.Linear):
            deep.add(node)
        if behind and type(layer) is nn.Conv2d and layer.groups == 1 and calls[id(layer)] == 1:
            name = str(node.target)
            if not name.startswith(f"{GENERATORS}."):
                sites[name] = _site(network, node, calls)
    return sites


def unit_conv(network: fx.GraphModule, site: UnitSite) -> nn.Conv2d:
    """The unit's convolution layer."""
    return cast(nn.Conv2d, layer_of(network, site.conv))


def layer_of(network: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    """The layer a node calls, or None if the node calls none."""
    return network.get_submodule(str(node.target)) if node.op == "call_module" else None


def layer_calls(network: fx.GraphModule) -> Counter[int]:
    """How often the graph calls each layer, by id: one layer may have several names."""
    return Counter(id(layer_of(network, node)) for node in network.graph.nodes if node.op == "call_module")


def require_fit(sites: Mapping[str, UnitSite], network: fx.GraphModule, values: Mapping[str, Tensor]) -> None:
    """Raises MaskMismatchError unless `values` has one entry per neuron of each unit, and no other units."""
    if unknown := sorted(values.keys() - sites.keys()):
        raise MaskMismatchError(f"the network has no unit {unknown[0]!r}")
    if missing := sorted(sites.keys() - values.keys()):
        raise MaskMismatchError(f"nothing is said about unit {missing[0]!r}")
    for name, value in values.items():
        width = unit_conv(network, sites[name]).out_channels
        if tuple(value.shape) != (width,):
            raise MaskMismatchError(f"unit {name!r} has {width} neurons; got shape {tuple(value.shape)}")


def _site(network: fx.GraphModule, conv: fx.Node, calls: Counter[int]) -> UnitSite:
    norm, gate = None, None
    reader = _only_reader(conv)
    layer = None if reader is None else layer_of(network, reader)
    if type(layer) is nn.BatchNorm2d and calls[id(layer)] == 1:
        norm, reader = reader, _only_reader(reader)
    if reader is not None and reader.target is apply_mask and reader.args[0] is (norm or conv):
        gate = reader
    return UnitSite(conv, norm, gate)


def _only_reader(node: fx.Node | None) -> fx.Node | None:
    return next(iter(node.users)) if node is not None and len(node.users) == 1 else None
