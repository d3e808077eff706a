"""Plain training: the baseline. Its neurons fire by class all the same, so it yields modules too."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch.nn.functional as F
from torch import Tensor, fx, nn

from core.approaches.protocol import LabelledBatches, LossTerms
from core.derivation import Derivation, derive_mask
from core.specs import StandardSpec
from core.statistics import ClassStatistics, StatisticsAccumulator, evaluating
from core.surgery.tracing import trace_copy
from core.units import find_units


class Standard:
    """Cross-entropy alone, no mask generators."""

    def __init__(self, spec: StandardSpec) -> None:
        self.spec = spec

    def attach(self, model: nn.Module) -> fx.GraphModule:
        """A traced copy; nothing is added."""
        return trace_copy(model)

    def loss(self, logits: Tensor, masks: Mapping[str, Tensor], labels: Tensor) -> LossTerms:  # noqa: ARG002 - Approach
        """Cross-entropy."""
        task = F.cross_entropy(logits, labels)
        return LossTerms(task, {"task": task})

    def statistics(
        self, network: fx.GraphModule, batches: LabelledBatches, num_classes: int
    ) -> ClassStatistics:
        """A neuron fires for a sample when the ReLU of its output is above zero at any place of the image.

        Looked at is the unit's output after batch normalisation (if any), where a mask would act. Amplitudes
        are 1: there is no mask to average.
        """
        sums = StatisticsAccumulator(num_classes)
        with evaluating(network), _recorded_firing(network) as fired:
            for images, labels in batches:
                network(images)
                sums.add(fired, labels)
        return sums.result()

    def derive(self, statistics: ClassStatistics, classes: Sequence[int], threshold: float) -> Derivation:
        """See `core.derivation.derive_mask`."""
        return derive_mask(statistics, classes, threshold)


@contextmanager
def _recorded_firing(network: fx.GraphModule) -> Iterator[dict[str, Tensor]]:
    """Unit -> (N, n) 0/1, filled anew by every forward pass."""
    fired: dict[str, Tensor] = {}

    def hook(unit: str) -> Any:
        def record(_layer: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
            fired[unit] = (output.amax(dim=(2, 3)) > 0).float()

        return record

    with ExitStack() as handles:
        for unit in find_units(network):
            handle = network.get_submodule(unit.norm or unit.name).register_forward_hook(hook(unit.name))
            handles.callback(handle.remove)
        yield fired
