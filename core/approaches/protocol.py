"""What a training method is: the one interface that training, statistics and extraction know."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, fx, nn

from core.derivation import Derivation
from core.specs import ApproachSpec
from core.statistics import ClassStatistics

LabelledBatches = Iterable[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class LossTerms:
    """The training objective (scalar) and its parts by name, each before its weight."""

    total: Tensor
    terms: dict[str, Tensor]


class Approach(Protocol):
    """One method of modular training."""

    @property
    def spec(self) -> ApproachSpec:
        """The parameters it was created with."""
        ...

    def attach(self, model: nn.Module) -> fx.GraphModule:
        """A traced copy of the model with what the method adds to it (for instance mask generators)."""
        ...

    def loss(self, logits: Tensor, masks: Mapping[str, Tensor], labels: Tensor) -> LossTerms:
        """The objective for one batch.

        Args:
            logits: (N, C).
            masks: unit name -> (N, n) soft masks of this batch, in unit order; empty for a standard network.
            labels: (N,).
        """
        ...

    def statistics(
        self, network: fx.GraphModule, batches: LabelledBatches, num_classes: int
    ) -> ClassStatistics:
        """One pass in eval mode over batches on the network's device."""
        ...

    def derive(self, statistics: ClassStatistics, classes: Sequence[int], threshold: float) -> Derivation:
        """The mask of the module that knows `classes` (indices)."""
        ...
