"""Copies of a network that is going to be cut: own layers at once, own tensors where no cut made any."""

import copy
from types import NoneType
from typing import Any

from torch import fx, nn

Nodes = dict[fx.Node, fx.Node]


def copy_over_same_tensors(network: fx.GraphModule) -> tuple[fx.GraphModule, Nodes]:
    """A copy whose graph and layers may be changed, but not what its tensors hold: they are the network's.

    Returns:
        The copy, and its node for each node of the network.
    """
    graph, nodes = fx.Graph(), Nodes()
    output = graph.graph_copy(network.graph, nodes)
    nodes[network.graph.output_node()] = graph.output(output)
    tensors = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    root = nn.Module().train(network.training)
    root._parameters, root._buffers = network._parameters.copy(), network._buffers.copy()
    root._modules = {name: _copied(layer, tensors) for name, layer in network._modules.items()}
    return fx.GraphModule(root, graph), nodes


def own_tensors(network: fx.GraphModule, original: fx.GraphModule) -> None:
    """Copy the tensors that are still the original's; one that several layers share stays one. In place."""
    shared = {id(tensor) for tensor in (*original.parameters(), *original.buffers())}
    copies: dict[int, Any] = {}
    for layer in network.modules():
        stores: tuple[dict[str, Any], ...] = (layer._parameters, layer._buffers)
        for tensors in stores:
            for name, value in tensors.items():
                if id(value) in shared:
                    tensors[name] = copy.deepcopy(value, copies)


def _copied(layer: nn.Module | None, copies: dict[int, Any]) -> Any:
    """A layer of its own over the same tensors; `copies` is a memo like copy.deepcopy's and knows them.

    copy.deepcopy would take as long as the rest of a cut: each layer has a dozen empty dictionaries of hooks.
    """
    if layer is None or id(layer) in copies:
        return None if layer is None else copies[id(layer)]
    if not all(isinstance(value, _PLAIN) for value in vars(layer).values()):
        return copy.deepcopy(layer, copies)
    own = copies[id(layer)] = object.__new__(type(layer))
    own.__dict__ = {name: _own(value) for name, value in vars(layer).items()}
    own.__dict__["_modules"] = {name: _copied(child, copies) for name, child in layer._modules.items()}
    return own


def _own(value: Any) -> Any:
    if not isinstance(value, dict | set):
        return value
    return value.copy() if value else type(value)()  # copying an empty OrderedDict takes ten times as long


# A layer with attributes of these types keeps nothing that can change but torch.nn's own dictionaries.
_PLAIN = (int, float, str, tuple, dict, set, NoneType)
