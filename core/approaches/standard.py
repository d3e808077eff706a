"""Plain training: the baseline. Its neurons fire by class all the same, so it yields modules too."""

from collections.abc import Mapping
from contextlib import AbstractContextManager

import torch.nn.functional as F
from torch import Tensor, fx, nn

from core.approaches.base import BaseApproach
from core.approaches.firing import recorded_firing
from core.approaches.protocol import LossTerms
from core.specs import StandardSpec
from core.surgery.tracing import trace_copy


class Standard(BaseApproach):
    """Cross-entropy alone, no mask generators."""

    def __init__(self, spec: StandardSpec) -> None:
        self.spec = spec

    def attach(self, model: nn.Module, num_classes: int) -> fx.GraphModule:  # noqa: ARG002 - Approach
        """A traced copy; nothing is added."""
        return trace_copy(model)

    def fired(self, network: fx.GraphModule) -> AbstractContextManager[dict[str, Tensor]]:
        """A neuron fires for a sample when the ReLU of its output is above zero at any place of the image.

        Looked at is the unit's output after batch normalisation (if any), where a mask would act. Amplitudes
        are 1: there is no mask to average.
        """
        return recorded_firing(network, behind_sums=False)

    def loss(self, logits: Tensor, masks: Mapping[str, Tensor], labels: Tensor) -> LossTerms:  # noqa: ARG002 - Approach
        """Cross-entropy."""
        task = F.cross_entropy(logits, labels)
        return LossTerms(task, {"task": task})
