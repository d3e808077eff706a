"""What most methods share; a subclass says what it attaches and what it minimises."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor, fx, nn

from core.acceleration import fast_layout
from core.approaches.protocol import LabelledBatches
from core.derivation import Derivation, derive_mask
from core.statistics import ClassStatistics, StatisticsAccumulator, evaluating
from core.surgery.masking import recorded_masks


class BaseApproach(ABC):
    """Losses on the masks of samples; modules from how often those masks fire."""

    @abstractmethod
    def attach(self, model: nn.Module, num_classes: int) -> fx.GraphModule:
        """See `Approach.attach`."""

    def trained(self, model: nn.Module, num_classes: int) -> fx.GraphModule:
        """What is attached stays."""
        return self.attach(model, num_classes)

    def recorded(self, network: fx.GraphModule) -> AbstractContextManager[dict[str, Tensor]]:
        """The masks of the generators."""
        return recorded_masks(network)

    def fired(self, network: fx.GraphModule) -> AbstractContextManager[dict[str, Tensor]]:
        """A neuron fires for a sample when its mask is above zero; the mask is its amplitude."""
        return recorded_masks(network)

    def prepare(  # noqa: B027 - few methods need it
        self, network: fx.GraphModule, labels: Tensor, own: slice, random: torch.Generator
    ) -> None:
        """Nothing depends on the batch."""

    def condition_gradients(self, network: fx.GraphModule) -> None:  # noqa: B027 - few methods need it
        """Gradients stay as they are."""

    def statistics(
        self, network: fx.GraphModule, batches: LabelledBatches, num_classes: int
    ) -> ClassStatistics:
        """One pass in eval mode; sums of `fired`."""
        sums = StatisticsAccumulator(num_classes)
        with evaluating(network), self.fired(network) as fired:
            for images, labels in batches:
                network(fast_layout(images))
                sums.add(fired, labels)
        return sums.result()

    def derive(self, statistics: ClassStatistics, classes: Sequence[int], threshold: float) -> Derivation:
        """See `core.derivation.derive_mask`."""
        return derive_mask(statistics, classes, threshold)

    def finish(self, network: fx.GraphModule) -> fx.GraphModule:
        """Nothing is taken away."""
        return network
