"""Gates of `recipe: cleave`: each unit learns which of its neurons each class keeps.

The masks that cut a module out are the masks its classes are trained with: no generator is left to drop,
and nothing changes at the cut. Scores with a straight-through top-k are the edge-popup of Ramanujan et al.
("What's Hidden in a Randomly Weighted Neural Network?", CVPR 2020), with neurons for edges, a row per class.
"""

import math
from collections.abc import Iterator

import torch
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
        members: (N, C) 0/1, the set of classes each sample of the next batch in training is asked about;
            in evaluation it is all classes.
    """

    fx_leaf = True  # one node in a traced graph, like the layers of torch.nn
    members: Tensor | None

    def __init__(self, num_classes: int, width: int, retention: float) -> None:
        super().__init__()
        self.scores = nn.Parameter(_INITIAL_DEVIATION * torch.randn(num_classes, width))
        self.kept = max(1, round(retention * width))
        self.register_buffer("members", None, persistent=False)

    def class_masks(self) -> Tensor:
        """(C, n) bool: the neurons each class keeps."""
        best = self.scores.detach().topk(self.kept, dim=1).indices
        return torch.zeros_like(self.scores, dtype=torch.bool).scatter_(1, best, True)

    def forward(self, x: Tensor) -> Tensor:
        """A unit's input (N, ...) -> masks (N, n), 0 or 1 (but for rounding of the ones in training).

        Gradients pass to the scores straight through.
        """
        masks = self.class_masks().to(self.scores.dtype)
        if self.members is None or not self.training:
            return masks.amax(dim=0).expand(x.shape[0], -1)
        members = self.members.to(masks)
        union = ((members @ masks) > 0).to(masks.dtype)
        # The probability that any class of the set keeps the neuron, if each did so by itself.
        on = torch.sigmoid(self.scores).clamp(max=_ALMOST_ONE)
        soft = 1 - torch.exp(members @ torch.log1p(-on))
        return union + soft - soft.detach()


def class_gates(network: fx.GraphModule) -> Iterator[tuple[str, ClassGate]]:
    """The gates of a network in training, with their attribute names."""
    for name, layer in getattr(network, GENERATORS, nn.Module()).named_children():
        if isinstance(layer, ClassGate):
            yield name, layer


def normalise_score_gradients(network: fx.GraphModule) -> None:
    """Give the gradient of every gate's scores one size: it differs by orders of magnitude between units."""
    for _, gate in class_gates(network):
        gradient = gate.scores.grad
        if gradient is not None:
            size = gradient.square().mean().sqrt()
            gradient.mul_(_SCORE_GRADIENT / size.clamp_min(torch.finfo(gradient.dtype).tiny))


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
    order, sizes = order.to(labels.device), sizes.to(labels.device)
    order.scatter_(1, labels[:, None], -1.0)  # its own class comes first
    return order.argsort(dim=1).argsort(dim=1) < sizes[:, None]


def unit_retention(retention: float, position: int, units: int) -> float:
    """The share of neurons a class keeps in the unit at `position`, geometrically from sqrt(r) to r.

    Early units are cheap and what they see is common to all classes; late ones hold most of the weights.
    """
    depth = position / max(1, units - 1)
    return math.pow(retention, (1 + depth) / 2)
