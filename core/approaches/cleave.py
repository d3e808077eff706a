"""`recipe: cleave`, the default of every modular method: train the very networks that will be cut out.

Each sample of a batch is asked about a random set S of classes that holds its own, and runs through the
neurons that the classes of S keep (`class_gates`). So every composition is trained, at every size, as it will
be cut: hard masks, no generators, the same batch normalisation. The method's own objective acts on the class
masks instead of on the masks of samples (NeMo: contrastive; MwT: coupling; MODA: dispersion). docs/method.md
has the measurements that led here.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from core.approaches.base import BaseApproach
from core.approaches.class_gates import (
    ClassGate,
    Gate,
    GateBank,
    TiedGate,
    class_gates,
    draw_class_sets,
    gates_with_scores,
    normalise_score_gradients,
    unit_retention,
)
from core.approaches.losses import mwt_losses, nemo_contrastive
from core.approaches.protocol import LabelledBatches, LossTerms
from core.specs import CleaveSpec
from core.statistics import ClassStatistics
from core.surgery.masking import fold_amplitudes, insert_generators, recorded_masks, remove_generators
from core.surgery.sites import attribute_key
from core.surgery.streams import stream_groups
from core.units import Unit, find_units

_TEMPERATURE = 0.2


class Cleave(BaseApproach):
    """Class gates, trained on random sets of classes."""

    def __init__(self, spec: CleaveSpec) -> None:
        self.spec = spec
        self._scores: list[Tensor] = []
        self._members: dict[int, Tensor] = {}  # by the size of the batch
        self._share = 1.0

    def attach(self, model: nn.Module, num_classes: int) -> fx.GraphModule:
        """A gate on every unit, and a BatchNorm behind a convolution that has none.

        Units that write one residual stream share a gate: a channel leaves the stream where all drop it.
        """
        units = find_units(model)
        share = {
            unit.name: unit_retention(self.spec.retention, position, len(units))
            for position, unit in enumerate(units)
        }
        leader = dict[str, str]()
        for group in stream_groups(model):
            leader |= dict.fromkeys(group, group[0])
            share[group[0]] = math.prod(share[name] for name in group) ** (1 / len(group))
        gates: dict[str, ClassGate] = {}

        def gate(unit: Unit) -> Gate:
            first = leader.get(unit.name, unit.name)
            if first in gates:
                return TiedGate(gates[first])
            gates[first] = ClassGate(num_classes, unit.width, share[unit.name])
            return gates[first]

        return insert_generators(model, gate, add_norm=True)

    def trained(self, model: nn.Module, num_classes: int) -> fx.GraphModule:
        """The form `finish` leaves: the plain network, with the parameters that folding adds to norms."""
        with torch.random.fork_rng(devices=[]):
            plain = remove_generators(self.attach(model, num_classes))
        return fold_amplitudes(plain, {unit.name: torch.ones(unit.width) for unit in find_units(plain)})

    @contextmanager
    def recorded(self, network: fx.GraphModule) -> Iterator[dict[str, Tensor]]:
        """The masks of the gates, which are computed at the start of each forward pass in training."""
        bank = GateBank([gate for _, gate in class_gates(network)])

        def fill(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            if module.training and len(inputs[0]) in self._members:
                with torch.autocast(inputs[0].device.type, enabled=False):  # probabilities near 0
                    bank.fill(self._members[len(inputs[0])])

        with ExitStack() as handles:
            handles.callback(network.register_forward_pre_hook(fill).remove)
            yield handles.enter_context(recorded_masks(network))

    def prepare(self, network: fx.GraphModule, labels: Tensor, own: slice, random: torch.Generator) -> None:
        """Draw the sets of classes that the samples of the next batch are asked about."""
        gates = gates_with_scores(network)
        members = draw_class_sets(labels, len(gates[0].scores), self.spec.whole_sets, random)[own]
        # A captured step reads the sets where those of its first batch lie.
        self._members.setdefault(len(members), torch.empty_like(members)).copy_(members)
        self._scores = [gate.scores for gate in gates]
        self._share = len(labels[own]) / len(labels)

    def loss(self, logits: Tensor, masks: Mapping[str, Tensor], labels: Tensor) -> LossTerms:  # noqa: ARG002
        """Cross-entropy (over all classes, whatever the set) + alpha * the objective on class masks."""
        task = F.cross_entropy(logits, labels)
        if not self.spec.alpha:
            return LossTerms(task, {"task": task})
        modularity = _objective(self.spec.name, [torch.sigmoid(scores) for scores in self._scores])
        # Every process has all scores, and their gradients are summed: each adds its share of this one.
        shared = self._share * modularity + (1 - self._share) * modularity.detach()
        return LossTerms(task + self.spec.alpha * shared, {"task": task, "modularity": modularity})

    def condition_gradients(self, network: fx.GraphModule) -> None:
        """Between backward pass and step."""
        normalise_score_gradients(network)

    def statistics(
        self, network: fx.GraphModule, batches: LabelledBatches, num_classes: int
    ) -> ClassStatistics:
        """A neuron fires for every sample of the classes that keep it, with amplitude 1, and for no other.

        So every threshold gives the masks of the training.
        """
        count = torch.zeros(num_classes, dtype=torch.float64)
        for _, labels in batches:
            count += torch.bincount(labels.cpu(), minlength=num_classes)
        firing = {unit: count[:, None] * masks.double() for unit, masks in _class_masks(network).items()}
        return ClassStatistics(count, firing, {unit: fired.clone() for unit, fired in firing.items()})

    def finish(self, network: fx.GraphModule) -> fx.GraphModule:
        """Gates dropped; neurons that no class keeps are zeroed, as they were in training."""
        kept = {unit: masks.any(dim=0).float() for unit, masks in _class_masks(network).items()}
        return fold_amplitudes(remove_generators(network), kept)


def _class_masks(network: fx.GraphModule) -> dict[str, Tensor]:
    """Unit -> (C, n) bool, on the CPU."""
    gates = dict(class_gates(network))
    return {unit.name: gates[attribute_key(unit.name)].class_masks().cpu() for unit in find_units(network)}


def _objective(method: str, class_masks: Iterable[Tensor]) -> Tensor:
    """How much classes share, per unit (C, n) and averaged: 0 = nothing."""
    rows = list(class_masks)
    labels = torch.arange(len(rows[0]), device=rows[0].device)
    if method == "nemo":
        return nemo_contrastive(rows, labels, _TEMPERATURE)
    return mwt_losses(rows, labels)[1]  # MwT's coupling, which is MODA's dispersion: cohesion is 1 by design
