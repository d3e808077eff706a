"""NeMo: neuron-level modularizing while training (TOSEM 2025, arXiv 2508.11348), `recipe: published`."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from core.approaches.losses import nemo_contrastive
from core.approaches.masked import MaskedApproach
from core.approaches.protocol import LossTerms
from core.specs import NemoSpec
from core.units import find_units


class Nemo(MaskedApproach):
    """Cross-entropy + alpha * contrastive loss."""

    def __init__(self, spec: NemoSpec) -> None:
        self.spec = spec
        self._first_is_free = not spec.first_unit_in_loss

    def attach(self, model: nn.Module, num_classes: int) -> fx.GraphModule:
        """See `MaskedApproach.attach`. Transformers leave their first block unmasked instead."""
        network = super().attach(model, num_classes)
        first, *others = (unit for unit in find_units(model) if not unit.hidden)
        self._first_is_free = not (self.spec.first_unit_in_loss or first.tokens or not others)
        return network

    def loss(self, logits: Tensor, masks: Mapping[str, Tensor], labels: Tensor) -> LossTerms:
        """See `core.approaches.losses.nemo_contrastive`."""
        spec = self.spec
        seen = list(masks.values())
        if self._first_is_free:
            # The published CNN trainer overwrites the first mask by ones: a constant term and no gradient,
            # which leaves the early, shared features alone.
            seen[0] = torch.ones_like(seen[0])
        task = F.cross_entropy(logits, labels)
        contrastive = nemo_contrastive(seen, labels, spec.temperature, spec.zero_terms, spec.self_term)
        return LossTerms(task + spec.alpha * contrastive, {"task": task, "contrastive": contrastive})
