"""NeMo: neuron-level modularizing while training (TOSEM 2025, arXiv 2508.11348), `recipe: published`."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from core.approaches.losses import nemo_contrastive
from core.approaches.masked import MaskedApproach
from core.approaches.protocol import LossTerms
from core.specs import NemoSpec


class Nemo(MaskedApproach):
    """Cross-entropy + alpha * contrastive loss."""

    def __init__(self, spec: NemoSpec) -> None:
        self.spec = spec

    def loss(self, logits: Tensor, masks: Mapping[str, Tensor], labels: Tensor) -> LossTerms:
        """See `core.approaches.losses.nemo_contrastive`."""
        spec = self.spec
        seen = list(masks.values())
        if not spec.first_unit_in_loss:
            # The published CNN trainer overwrites the first mask by ones: a constant term and no gradient,
            # which leaves the early, shared features alone.
            seen[0] = torch.ones_like(seen[0])
        task = F.cross_entropy(logits, labels)
        contrastive = nemo_contrastive(seen, labels, spec.temperature, spec.zero_terms, spec.self_term)
        return LossTerms(task + spec.alpha * contrastive, {"task": task, "contrastive": contrastive})
