"""Gates of `recipe: cleave`: each unit learns which of its neurons each class keeps.

The masks that cut a module out are the masks its classes are trained with: no generator is left to drop,
and nothing changes at the cut. Scores with a straight-through top-k are the edge-popup of Ramanujan et al.
("What's Hidden in a Randomly Weighted Neural Network?", CVPR 2020), with neurons for edges, a row per class.
"""

import math
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from core.surgery.sites import GENERATORS

_INITIAL_DEVIATION = 0.5
_ALMOST_ONE = 1 - 1e-6
# Root mean square of a unit's gradient: the step of a score is then the learning rate times this, whatever
# the network's size.
_SCORE_GRADIENT = 0.06


class ClassGate(nn.Module):
    """A unit's masks by class; applied to a sample, the union over the set of classes it is asked about.

    Attributes:
        scores: (C, n); a class keeps the neurons of its highest scores.
        kept: how many.
        masks: (N, n), the masks of the next batch in training, which the forward pass uses up (`GateBank`);
            without them every sample is asked about all classes.
    """

    fx_leaf = True  # one node in a traced graph, like the layers of torch.nn
    hard = True  # masks are 0 or 1 (`core.fusion`)

    def __init__(self, num_classes: int, width: int, retention: float) -> None:
        super().__init__()
        self.scores = nn.Parameter(_INITIAL_DEVIATION * torch.randn(num_classes, width))
        self.kept = max(1, round(retention * width))
        self.masks: Tensor | None = None

    def class_masks(self) -> Tensor:
        """(C, n) bool: the neurons each class keeps."""
        return GateBank([self]).class_masks()

    def forward(self, x: Tensor) -> Tensor:
        """A unit's input (N, ...) -> masks (N, n), 0 or 1 (but for rounding of the ones in training)."""
        masks, self.masks = self.masks, None
        if masks is not None and self.training:
            return masks
        return self.of_all_classes(x.shape[0])

    def of_all_classes(self, count: int) -> Tensor:
        """(count, n): the neurons that any class keeps."""
        return self.class_masks().any(dim=0).to(self.scores.dtype).expand(count, -1)


class TiedGate(nn.Module):
    """The gate of a unit that writes the same residual stream as another unit: that one's masks.

    Attributes:
        masks: See ClassGate.
    """

    fx_leaf = True
    hard = True

    def __init__(self, source: ClassGate) -> None:
        super().__init__()
        self._source = (source,)  # in a tuple: a layer of the other unit, not of this one
        self.masks: Tensor | None = None

    @property
    def source(self) -> ClassGate:
        """The gate that has the scores."""
        return self._source[0]

    def class_masks(self) -> Tensor:
        """(C, n) bool: the neurons each class keeps."""
        return self.source.class_masks()

    def forward(self, x: Tensor) -> Tensor:
        """A unit's input (N, ...) -> masks (N, n), 0 or 1."""
        masks, self.masks = self.masks, None
        if masks is not None and self.training:
            return masks
        return self.source.of_all_classes(x.shape[0])


Gate: TypeAlias = ClassGate | TiedGate


class GateBank:
    """The gates of a network: the masks of all units in one go, since one by one they are small work.

    Gradients pass to the scores straight through.
    """

    def __init__(self, gates: Sequence[Gate]) -> None:
        self._tied = [gate for gate in gates if isinstance(gate, TiedGate)]
        self.gates = [gate for gate in gates if isinstance(gate, ClassGate)]
        self._widths = [gate.scores.shape[1] for gate in self.gates]
        widest, device = max(self._widths), self.gates[0].scores.device
        kept = torch.tensor([gate.kept for gate in self.gates], device=device)
        self._on = torch.arange(widest, device=device) < kept[:, None, None]  # (L, 1, widest)
        # Where a unit's neurons lie in rows filled up to the widest unit.
        places = [unit * widest + torch.arange(width) for unit, width in enumerate(self._widths)]
        self._places = torch.cat(places).to(device)

    def class_masks(self) -> Tensor:
        """(C, K) bool, all units side by side: the neurons each class keeps; of equal scores the first."""
        scores = [gate.scores.detach() for gate in self.gates]
        rows = torch.stack([F.pad(s, (0, self._on.shape[2] - s.shape[1]), value=-torch.inf) for s in scores])
        order = rows.argsort(dim=2, descending=True, stable=True)
        best = torch.zeros_like(rows, dtype=torch.bool).scatter_(2, order, self._on.expand_as(rows))
        return best.transpose(0, 1).flatten(1).index_select(1, self._places)

    def fill(self, members: Tensor) -> None:
        """Give every gate its masks of a batch whose samples are asked about `members` (N, C) 0/1."""
        scores = torch.cat([gate.scores for gate in self.gates], dim=1)  # (C, K)
        members = members.to(scores.dtype)
        union = ((members @ self.class_masks().to(scores.dtype)) > 0).to(scores.dtype)
        # The probability that any class of the set keeps the neuron, if each did so by itself.
        on = torch.sigmoid(scores).clamp(max=_ALMOST_ONE)
        soft = 1 - torch.exp(members @ torch.log1p(-on))
        masks = union + soft - soft.detach()
        for gate, own in zip(self.gates, torch.split(masks, self._widths, dim=1), strict=True):
            gate.masks = own
        for tied in self._tied:
            tied.masks = tied.source.masks


def class_gates(network: fx.GraphModule) -> Iterator[tuple[str, Gate]]:
    """The gates of a network in training, with their attribute names."""
    for name, layer in getattr(network, GENERATORS, nn.Module()).named_children():
        if isinstance(layer, ClassGate | TiedGate):
            yield name, layer


def gates_with_scores(network: fx.GraphModule) -> list[ClassGate]:
    """One for each unit or residual stream."""
    return [gate for _, gate in class_gates(network) if isinstance(gate, ClassGate)]


def normalise_score_gradients(network: fx.GraphModule) -> None:
    """Give the gradient of every gate's scores one size: it differs by orders of magnitude between units."""
    gradients = [gate.scores.grad for gate in gates_with_scores(network) if gate.scores.grad is not None]
    if not gradients:
        return
    sizes = torch.stack([gradient.square().mean() for gradient in gradients]).sqrt()
    factors = _SCORE_GRADIENT / sizes.clamp_min(torch.finfo(sizes.dtype).tiny)
    for gradient, factor in zip(gradients, factors.unbind(), strict=True):
        gradient.mul_(factor)


def draw_class_sets(labels: Tensor, num_classes: int, whole: float, random: torch.Generator) -> Tensor:
    """For each sample a random set of classes that holds its own: (N,) -> (N, C) bool.

    With probability `whole` the set is all classes; else its size is uniform in 2..C and its other members
    are drawn without replacement.
    """
    count = len(labels)
    sizes = torch.randint(min(2, num_classes), num_classes + 1, (count,), generator=random)
    sizes[torch.rand(count, generator=random) < whole] = num_classes
    order = torch.rand(count, num_classes, generator=random)
    # Drawn on the CPU, whatever device computes; nothing waits for that device.
    order, sizes = (drawn.to(labels.device, non_blocking=True) for drawn in (order, sizes))
    order.scatter_(1, labels[:, None], -1.0)  # its own class comes first
    return order.argsort(dim=1).argsort(dim=1) < sizes[:, None]


def unit_retention(retention: float, position: int, units: int) -> float:
    """The share of neurons a class keeps in the unit at `position`, geometrically from sqrt(r) to r.

    Early units are cheap and what they see is common to all classes; late ones hold most of the weights.
    """
    depth = position / max(1, units - 1)
    return math.pow(retention, (1 + depth) / 2)
