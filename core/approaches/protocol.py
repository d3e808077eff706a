"""What a training method is: the one interface that training, statistics and extraction know."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import torch
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

    def attach(self, model: nn.Module, num_classes: int) -> fx.GraphModule:
        """A traced copy of the model with what the method adds to it (for instance mask generators)."""
        ...

    def trained(self, model: nn.Module, num_classes: int) -> fx.GraphModule:
        """The structure that `finish` leaves, with untrained weights."""
        ...

    def recorded(self, network: fx.GraphModule) -> AbstractContextManager[dict[str, Tensor]]:
        """What the loss looks at, filled anew by each forward pass: name -> (N, n), with gradient."""
        ...

    def prepare(self, network: fx.GraphModule, labels: Tensor, own: slice, random: torch.Generator) -> None:
        """Called before each batch in training.

        Args:
            network: what `attach` returned.
            labels: (N,) of the whole batch.
            own: the rows that this process runs through the network.
            random: draws for this batch; the same in every process.
        """
        ...

    def loss(self, logits: Tensor, masks: Mapping[str, Tensor], labels: Tensor) -> LossTerms:
        """The objective for one batch.

        Args:
            logits: (N, C).
            masks: what `recorded` holds; for a method with mask generators unit name -> (N, n) soft masks.
            labels: (N,).
        """
        ...

    def condition_gradients(self, network: fx.GraphModule) -> None:
        """Called between the backward pass and the optimizer's step."""
        ...

    def statistics(
        self, network: fx.GraphModule, batches: LabelledBatches, num_classes: int
    ) -> ClassStatistics:
        """One pass in eval mode over batches on the network's device, before `finish`."""
        ...

    def derive(self, statistics: ClassStatistics, classes: Sequence[int], threshold: float) -> Derivation:
        """The mask of the module that knows `classes` (indices)."""
        ...

    def finish(self, network: fx.GraphModule) -> fx.GraphModule:
        """What is kept of a trained network: its outputs are unchanged."""
        ...
