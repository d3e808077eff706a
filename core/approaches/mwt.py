"""MwT: modularizing while training (ICSE 2024, arXiv 2306.09376), `recipe: published`."""

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from core.approaches.losses import mwt_losses
from core.approaches.masked import MaskedApproach
from core.approaches.protocol import LossTerms
from core.specs import MwtSpec


class Mwt(MaskedApproach):
    """Cross-entropy + alpha * cohesion + beta * coupling."""

    def __init__(self, spec: MwtSpec) -> None:
        self.spec = spec

    def loss(self, logits: Tensor, masks: Mapping[str, Tensor], labels: Tensor) -> LossTerms:
        """See `core.approaches.losses.mwt_losses`."""
        task = F.cross_entropy(logits, labels)
        cohesion, coupling = mwt_losses(list(masks.values()), labels)
        total = task + self.spec.alpha * cohesion + self.spec.beta * coupling
        return LossTerms(total, {"task": task, "cohesion": cohesion, "coupling": coupling})
