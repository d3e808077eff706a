"""Which channels each value of a graph holds, while extraction walks it from the input to the logits."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, fx, nn

from core.surgery.layers import ChannelGather, ChannelScatter, apply_mask
from core.surgery.sites import layer_calls, layer_of

# A channel set: bool (full width,) along a value's dimension 1. What it lacks is exactly zero in the full
# network and absent from the cut one. None: the value is whole.
ChannelSet = Tensor | None


def channel_set(kept: Tensor) -> ChannelSet:
    """A set in its one spelling: None if nothing is missing."""
    return None if bool(kept.all()) else kept


def same(a: ChannelSet, b: ChannelSet) -> bool:
    """Whether two sets of one width are equal."""
    return a is b or (a is not None and b is not None and torch.equal(a, b))


@dataclass
class ChannelFlow:
    """The state of one walk.

    Attributes:
        network: The graph under the knife; its layers are cut in place.
        shapes: Shapes in the full network, for a batch of two.
        rows: Nodes whose layer's outputs are cut, with the channels that stay.
        sets: What each node walked so far holds.
        notes: What could not be cut and why.
    """

    network: fx.GraphModule
    shapes: Mapping[fx.Node, tuple[int, ...]]
    rows: dict[fx.Node, ChannelSet] = field(default_factory=dict)
    sets: dict[fx.Node, ChannelSet] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._calls = layer_calls(self.network)

    def layer(self, node: fx.Node) -> nn.Module | None:
        return layer_of(self.network, node)

    def called_once(self, node: fx.Node) -> bool:
        return self._calls[id(self.layer(node))] == 1

    def shape(self, node: fx.Node) -> tuple[int, ...]:
        """The node's shape in the full network; () for what is not a tensor."""
        return self.shapes.get(node, ())

    def fit(self, reader: fx.Node, value: fx.Node, target: ChannelSet) -> None:
        """Let `reader` see `value` with the channels `target`: a superset or a subset of what it holds."""
        held = self.sets[value]
        if same(held, target):
            return
        layer = _between(held, target)
        name = f"channel_fits.{reader.name}_of_{value.name}"
        self.network.add_submodule(name, layer)
        with self.network.graph.inserting_before(reader):
            fitted = self.network.graph.call_module(name, (value,))
        self.sets[fitted] = target
        reader.replace_input_with(value, fitted)

    def pin(self, node: fx.Node, reason: str) -> ChannelSet:
        """Give the node whole inputs, exactly as in the full network: always right, never smaller."""
        for value in list(node.all_input_nodes):
            held = self.sets[value]
            if held is not None:
                whole = f"{_name_of(value)} stays at {held.numel()} channels"
                self.notes.append(f"{whole} for {_name_of(node)}: {reason}")
                self.fit(node, value, None)
        return None


def _name_of(node: fx.Node) -> str:
    """The layer's name in the model, where the node has one; a masked value goes by its layer's name."""
    if node.target is apply_mask and isinstance(node.args[0], fx.Node):
        return _name_of(node.args[0])
    return str(node.target) if node.op == "call_module" else node.name


def _between(held: ChannelSet, target: ChannelSet) -> nn.Module:
    """The layer that takes channels `held` to channels `target`."""
    width = (held if held is not None else _known(target)).numel()
    have = held if held is not None else torch.ones(width, dtype=torch.bool)
    want = target if target is not None else torch.ones(width, dtype=torch.bool)
    if bool((want & ~have).any()):
        positions = (want.cumsum(0) - 1)[have]
        return ChannelScatter(positions, int(want.sum()))
    return ChannelGather((have.cumsum(0) - 1)[want])


def _known(channels: ChannelSet) -> Tensor:
    if channels is None:
        raise ValueError("two whole values need no layer between them")
    return channels
