"""Cutting a module out of a network: a smaller network that computes exactly what the masked one does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from core.errors import ClassNotInModelError, EmptyUnitError, UntraceableModelError
from core.masks import ModuleMask
from core.surgery.copying import copy_over_same_tensors, own_tensors
from core.surgery.flow import ChannelFlow
from core.surgery.inplace import is_in_place_operator, read_results
from core.surgery.layers import ChannelGather
from core.surgery.masking import scale_units
from core.surgery.needs import needed_neurons
from core.surgery.patterns import join_attention
from core.surgery.report import lines, uncut_layers
from core.surgery.rules import passes, walk
from core.surgery.sites import UnitSite, require_fit, unit_sites
from core.surgery.slicing import slice_rows
from core.surgery.tracing import finish, trace, value_shapes


@dataclass(frozen=True)
class Extraction:
    """A module cut out.

    Attributes:
        network: The smaller network; its outputs are the chosen classes, in the chosen order.
        notes: Where channels had to stay although a mask drops them, and why.
        uncut: Layers that no mask names, and why.
    """

    network: fx.GraphModule
    notes: tuple[str, ...]
    uncut: tuple[str, ...] = ()

    def report(self) -> str:
        """What stayed at full width, and why: one line each."""
        return lines(self.notes, self.uncut)


class CutPlan:
    """What every cut of one network needs to know of it: its graph, units and shapes, found out once.

    The network must not change while modules are cut out.
    """

    def __init__(self, network: nn.Module, input_shape: Sequence[int]) -> None:
        """Analyse the network. Shares its tensors, never its layers.

        Raises:
            UntraceableModelError: torch.fx cannot trace it, or what it returns is not logits (N, classes).
            InputShapeError: It does not take such images.
        """
        self._network, _ = copy_over_same_tensors(trace(network))
        self._shapes = value_shapes(self._network, input_shape)
        read_results(self._network, lambda node: is_in_place_operator(node) and node in self._shapes)
        join_attention(self._network, self._shapes)
        self._sites = unit_sites(self._network)
        flow = ChannelFlow(self._network, self._shapes)
        _require_logits(flow)
        self._uncut = tuple(uncut_layers(flow, self._sites))

    def extract(
        self, mask: ModuleMask, *, classes: Sequence[int], amplitudes: Mapping[str, Tensor] | None = None
    ) -> Extraction:
        """See `extract`.

        Args:
            mask: One entry per unit, each with at least one neuron; hidden Linear units may be left out.
            classes: Indices of the logits to keep, in the order of the module's outputs.
            amplitudes: Unit name -> (width,) factors that are folded into the weights first.
        """
        cut, copied = copy_over_same_tensors(self._network)
        flow = ChannelFlow(
            cut, {copied[node]: shape for node, shape in self._shapes.items() if node in copied}
        )
        sites = {name: site.copied(copied) for name, site in self._sites.items()}
        require_fit(sites, cut, mask)
        if empty := [name for name in mask if not mask[name].any()]:
            raise EmptyUnitError(f"the mask keeps no neuron of unit {empty[0]!r}")
        if amplitudes is not None:
            scale_units(cut, amplitudes)
        flow.rows.update(_rows(flow, sites, mask))
        _require_classes(flow, classes)
        walk(flow)
        _select_classes(flow, classes)
        own_tensors(cut, self._network)
        uncut = (*self._uncut, *(f"{name} is whole: it has no mask" for name in sites if name not in mask))
        return Extraction(_on_one_device(finish(cut)), tuple(dict.fromkeys(flow.notes)), uncut)


def extract(
    network: nn.Module, mask: ModuleMask, *, classes: Sequence[int], input_shape: Sequence[int]
) -> Extraction:
    """Cut a module out of a copy of the network.

    extract(network, mask).network(x) equals hard_masked(network, mask)(x)[:, classes] up to rounding. The
    same structure, mask and classes give the same layer names and shapes: a state dict fits a cut made anew.

    Args:
        network: A modular network gives the gated form (each unit keeps its sliced generator), a plain one or
            one without its generators the static form.
        mask: One entry per unit, each with at least one neuron; hidden Linear units may be left out.
        classes: Indices of the logits to keep, in the order of the module's outputs.
        input_shape: (C, H, W) of the images.

    Raises:
        EmptyUnitError: A unit keeps no neuron.
        MaskMismatchError: The mask is for another network.
        ClassNotInModelError: A class has no logit, or none is asked for.
    """
    return CutPlan(network, input_shape).extract(mask, classes=classes)


def _rows(flow: ChannelFlow, sites: Mapping[str, UnitSite], mask: ModuleMask) -> dict[fx.Node, Tensor]:
    """The nodes whose outputs a unit's mask cuts: its layer, its norm, the last layer of its generator."""
    rows: dict[fx.Node, Tensor] = {}
    for name, kept in needed_neurons(flow, sites, mask).items():
        site = sites[name]
        head = None if site.gate is None else _generator_head(flow, site.gate)
        rows |= {node: kept for node in (site.layer, site.norm, head) if node is not None}
    return rows


def _generator_head(flow: ChannelFlow, gate: fx.Node) -> fx.Node | None:
    """The Linear that writes a gate's masks, if nothing but per-channel functions lie between."""
    node = gate.args[1]
    while isinstance(node, fx.Node) and len(node.users) == 1:
        if type(flow.layer(node)) is nn.Linear:
            return node if flow.called_once(node) and len(flow.shape(node)) == 2 else None
        if not passes(flow, node) or len(node.all_input_nodes) != 1:
            return None
        node = node.all_input_nodes[0]
    return None


def _logits(flow: ChannelFlow) -> fx.Node:
    return flow.network.graph.output_node().all_input_nodes[0]


def _require_logits(flow: ChannelFlow) -> None:
    rank = len(flow.shape(_logits(flow)))
    if rank != 2:
        raise UntraceableModelError(f"the network must return logits (N, classes), not {rank}-d")


def _require_classes(flow: ChannelFlow, classes: Sequence[int]) -> None:
    shape = flow.shape(_logits(flow))
    if not classes:
        raise ClassNotInModelError("a module needs at least one class")
    if outside := [c for c in classes if not 0 <= c < shape[1]]:
        raise ClassNotInModelError(f"the network has {shape[1]} classes; there is no class {outside[0]}")


def _select_classes(flow: ChannelFlow, classes: Sequence[int]) -> None:
    """Keep the chosen logits: as rows of the last Linear if it alone writes them, else by a gather.

    They are whole: what a unit drops ends at the next convolution or Linear, and no unit writes logits.
    """
    output, width = flow.network.graph.output_node(), flow.shape(_logits(flow))[1]
    if list(classes) == list(range(width)):
        return
    logits = _logits(flow)
    layer, index = flow.layer(logits), torch.tensor(list(classes))
    if type(layer) is nn.Linear and flow.called_once(logits) and len(logits.users) == 1:
        slice_rows(layer, index)
        return
    flow.network.add_submodule("class_selection", ChannelGather(index))
    with flow.network.graph.inserting_before(output):
        selected = flow.network.graph.call_module("class_selection", (logits,))
    output.replace_input_with(logits, selected)


def _on_one_device(network: fx.GraphModule) -> fx.GraphModule:
    """Index buffers are made on the CPU; the network may live elsewhere."""
    device = next((parameter.device for parameter in network.parameters()), None)
    return network if device is None else network.to(device)
