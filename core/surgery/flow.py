"""Which channels each value of a graph holds, while extraction walks it from the input to the logits."""

from collections import Counter
from dataclasses import dataclass, field

import torch
from torch import Tensor, fx, nn

from core.surgery.layers import ChannelGather, ChannelScatter, apply_mask
from core.surgery.sites import layer_of


@dataclass(frozen=True, eq=False)
class Channels:
    """What a value holds along one of its dimensions.

    Attributes:
        kept: bool (full width,), not all true. What is missing is exactly zero in the full network and absent
            from the cut one.
        axis: The dimension: 1 for maps (N, C, H, W), mostly the last for tokens (N, T, D).
    """

    kept: Tensor
    axis: int


# None: the value is whole.
ChannelSet = Channels | None


def channel_set(kept: Tensor, axis: int) -> ChannelSet:
    """A set in its one spelling: None if nothing is missing."""
    return None if bool(kept.all()) else Channels(kept, axis)


def same(a: ChannelSet, b: ChannelSet) -> bool:
    """Whether two sets of one value are equal."""
    if a is None or b is None:
        return a is b
    return a.axis == b.axis and torch.equal(a.kept, b.kept)


@dataclass
class ChannelFlow:
    """The state of one walk.

    Attributes:
        network: The graph under the knife; its layers are cut in place.
        shapes: Shapes in the full network, for a batch of two.
        rows: Nodes whose layer's outputs a mask says, with the neurons that stay: bool (full width,).
        sets: What each node walked so far holds.
        notes: What could not be cut and why.
    """

    network: fx.GraphModule
    shapes: dict[fx.Node, tuple[int, ...]]
    rows: dict[fx.Node, Tensor] = field(default_factory=dict)
    sets: dict[fx.Node, ChannelSet] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        # Looked up once: a walk asks often, and layers stay where they are.
        self._layers = {node: layer_of(self.network, node) for node in self.network.graph.nodes}
        self._calls = Counter(id(layer) for layer in self._layers.values())

    def layer(self, node: fx.Node) -> nn.Module | None:
        return self._layers[node]

    def called_once(self, node: fx.Node) -> bool:
        return self._calls[id(self.layer(node))] == 1

    def shape(self, node: fx.Node) -> tuple[int, ...]:
        """The node's shape in the full network; () for what is not a tensor."""
        return self.shapes.get(node, ())

    def kept(self, node: fx.Node, axis: int) -> Tensor:
        """What a value holds along `axis`, the dimension of its set if it has one: bool (full width,)."""
        held = self.sets[node]
        return torch.ones(self.shape(node)[axis], dtype=torch.bool) if held is None else held.kept

    def fit(self, reader: fx.Node, value: fx.Node, target: ChannelSet) -> None:
        """Let `reader` see `value` with the channels `target`, along the dimension it holds a set of."""
        held = self.sets[value]
        if same(held, target) or self._slice_parameter(value, target):
            return
        if held is not None and target is not None and _crosses(held.kept, target.kept):
            common = held.kept & target.kept
            between = common if bool(common.any()) else held.kept | target.kept
            value = self._insert(reader, value, channel_set(between, target.axis))
        self._insert(reader, value, target)

    def _slice_parameter(self, value: fx.Node, target: ChannelSet) -> bool:
        """Cut a parameter that only one operation reads (layer scale) instead of what it hands out."""
        if target is None or self.sets[value] is not None:
            return False
        if value.op != "get_attr" or len(value.users) != 1:
            return False
        if len(self.network.graph.find_nodes(op="get_attr", target=value.target)) != 1:
            return False
        owner, _, name = str(value.target).rpartition(".")
        parameter = getattr(self.network.get_submodule(owner), name)
        if not isinstance(parameter, nn.Parameter):
            return False
        chosen = parameter.detach().index_select(
            target.axis, target.kept.nonzero().flatten().to(parameter.device)
        )
        setattr(self.network.get_submodule(owner), name, nn.Parameter(chosen, parameter.requires_grad))
        self.sets[value] = target
        return True

    def _insert(self, reader: fx.Node, value: fx.Node, target: ChannelSet) -> fx.Node:
        name = f"channel_fits.{reader.name}_of_{value.name}"
        self.network.add_submodule(name, _between(self.sets[value], target))
        with self.network.graph.inserting_before(reader):
            fitted = self.network.graph.call_module(name, (value,))
        self.sets[fitted], self.shapes[fitted] = target, self.shape(value)
        reader.replace_input_with(value, fitted)
        return fitted

    def pin(self, node: fx.Node, reason: str) -> ChannelSet:
        """Give the node whole inputs, exactly as in the full network: always right, never smaller."""
        for value in list(node.all_input_nodes):
            held = self.sets[value]
            if held is not None:
                whole = f"{_name_of(value)} stays at {held.kept.numel()} channels"
                self.notes.append(f"{whole} for {_name_of(node)}: {reason}")
                self.fit(node, value, None)
        return None


def _name_of(node: fx.Node) -> str:
    """The layer's name in the model, where the node has one; a masked value goes by its layer's name."""
    if node.target is apply_mask and isinstance(node.args[0], fx.Node):
        return _name_of(node.args[0])
    return str(node.target) if node.op == "call_module" else node.name


def _crosses(a: Tensor, b: Tensor) -> bool:
    """Whether each has something the other lacks."""
    return bool((a & ~b).any()) and bool((b & ~a).any())


def _between(held: ChannelSet, target: ChannelSet) -> nn.Module:
    """The layer that takes channels `held` to channels `target`, one of which includes the other."""
    known = held or target
    if known is None:
        raise ValueError("two whole values need no layer between them")
    have = torch.ones_like(known.kept) if held is None else held.kept
    want = torch.ones_like(known.kept) if target is None else target.kept
    if bool((want & ~have).any()):
        positions = (want.cumsum(0) - 1)[have]
        return ChannelScatter(positions, int(want.sum()), known.axis)
    return ChannelGather((have.cumsum(0) - 1)[want], known.axis)
