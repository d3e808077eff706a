"""MODA: activation-driven modular training (ICSE 2026, arXiv 2411.01074), `recipe: published`."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from core.approaches.base import BaseApproach
from core.approaches.firing import RELUS, recorded_activations, recorded_firing
from core.approaches.losses import mwt_losses
from core.approaches.protocol import LossTerms
from core.derivation import Derivation
from core.errors import UntraceableModelError
from core.masks import ModuleMask
from core.specs import ModaSpec
from core.statistics import ClassStatistics
from core.surgery.sites import layer_of
from core.surgery.tracing import finish, trace_copy

_RELU_CALLS = (F.relu, torch.relu, "relu", F.relu_, torch.relu_, "relu_")
_FLOOR = 0.005  # of a unit's neurons, at least one (the 2026 code)


class Moda(BaseApproach):
    """Cross-entropy + alpha * affinity + beta * dispersion + gamma * compactness of the ReLUs' outputs.

    No mask generators, no further parameters. Hidden Linear layers are cut too, as in the published code.
    """

    def __init__(self, spec: ModaSpec) -> None:
        self.spec = spec

    def attach(self, model: nn.Module, num_classes: int) -> fx.GraphModule:  # noqa: ARG002 - Approach
        """A traced copy in which each ReLU is a layer of its own.

        Raises:
            UntraceableModelError: there is no ReLU layer, whose outputs the method works on.
        """
        network = _with_own_relus(trace_copy(model))
        if not any(isinstance(layer, RELUS) for layer in network.modules()):
            raise UntraceableModelError("MODA works on the outputs of nn.ReLU layers; this network has none")
        return network

    def recorded(self, network: fx.GraphModule) -> AbstractContextManager[dict[str, Tensor]]:
        """Every ReLU's output, averaged over places."""
        return recorded_activations(network)

    def fired(self, network: fx.GraphModule) -> AbstractContextManager[dict[str, Tensor]]:
        """A neuron fires when its ReLU, behind the sum of a residual block, is above zero anywhere."""
        return recorded_firing(network, behind_sums=True)

    def loss(self, logits: Tensor, masks: Mapping[str, Tensor], labels: Tensor) -> LossTerms:
        """`masks`: name of each ReLU -> (N, n) mean absolute output."""
        spec, activations = self.spec, list(masks.values())
        task = F.cross_entropy(logits, labels)
        affinity, dispersion = mwt_losses(activations, labels)
        compactness = torch.stack([value.mean() for value in activations]).mean()
        total = task + spec.alpha * affinity + spec.beta * dispersion + spec.gamma * compactness
        terms = {"task": task, "affinity": affinity, "dispersion": dispersion, "compactness": compactness}
        return LossTerms(total, terms)

    def derive(self, statistics: ClassStatistics, classes: Sequence[int], threshold: float) -> Derivation:
        """Neurons fired by at least `threshold` of a class's samples, and never fewer than the floor.

        A unit with fewer than 0.5 % of its neurons (at least one) gets as many of its most frequent ones as
        the class with most keeps there. The published code counts classes it has repaired before; here the
        order of classes does not matter.
        """
        kept: dict[str, Tensor] = {}
        notes = []
        for unit, fired in statistics.firing.items():
            frequency = fired / statistics.count.clamp_min(1)[:, None]  # (C, n)
            frequent = frequency >= threshold
            floor = max(1, int(_FLOOR * frequency.shape[1]))
            for index in classes:
                own = frequent[index]
                if own.sum() < floor:
                    size = max(floor, int(frequent.sum(dim=1).max()))
                    own = torch.zeros_like(own).index_fill_(
                        0, frequency[index].topk(size).indices, value=True
                    )
                    notes.append(f"{unit}, class {index}: kept the {size} most frequent neurons")
                kept[unit] = kept[unit] | own if unit in kept else own
        return Derivation(ModuleMask(kept), tuple(notes))


def _with_own_relus(network: fx.GraphModule) -> fx.GraphModule:
    """A layer for every call of a ReLU, in place: hooks see layers, and one may be called several times."""
    seen: set[str] = set()
    for number, node in enumerate(network.graph.nodes):
        layer = layer_of(network, node)
        shared = isinstance(layer, RELUS) and str(node.target) in seen
        seen.add(str(node.target))
        if not shared and node.target not in _RELU_CALLS:
            continue
        name = f"relu_calls.{number}"
        network.add_submodule(name, type(layer)() if isinstance(layer, RELUS) else nn.ReLU())
        node.op, node.target, node.args, node.kwargs = "call_module", name, (node.all_input_nodes[0],), {}
    return finish(network)
