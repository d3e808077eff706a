"""What each neuron does for each class: sums from one pass, from which every module mask is derived."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.errors import ArtifactError

_COUNT, _FIRING, _AMPLITUDE = "count", "firing", "amplitude"


@dataclass(frozen=True, eq=False)
class ClassStatistics:
    """Sums over the samples of each class; float64, so that they are exact for any dataset.

    Attributes:
        count: (C,) samples of each class.
        firing: unit -> (C, n) samples of the class for which the neuron's mask is above zero.
        amplitude: unit -> (C, n) sum of the mask over the samples of the class.
    """

    count: Tensor
    firing: dict[str, Tensor]
    amplitude: dict[str, Tensor]

    def frequencies(self, class_index: int) -> dict[str, Tensor]:
        """Unit -> (n,) share of the class's samples that fire each neuron (MwT's f_c)."""
        count = self.count[class_index].clamp_min(1)
        return {unit: fired[class_index] / count for unit, fired in self.firing.items()}

    def mean_amplitudes(self, classes: Sequence[int]) -> dict[str, Tensor]:
        """Unit -> (n,) float32: mean mask over the firing samples of `classes`; 1 for one that never fires.

        Folded into a static module's weights, they stand for the masks that the dropped generators gave.
        """
        rows = torch.tensor(list(classes), dtype=torch.int64)
        means = {}
        for unit, fired in self.firing.items():
            times, total = fired[rows].sum(dim=0), self.amplitude[unit][rows].sum(dim=0)
            means[unit] = torch.where(times > 0, total / times.clamp_min(1), 1.0).float()
        return means

    def to_tensors(self) -> dict[str, Tensor]:
        """A flat mapping for a tensor file; the keys carry the units' order, which such files do not keep."""
        tensors = {_COUNT: self.count}
        for order, unit in enumerate(self.firing):
            tensors[f"{_FIRING}/{order:04d}/{unit}"] = self.firing[unit]
            tensors[f"{_AMPLITUDE}/{order:04d}/{unit}"] = self.amplitude[unit]
        return tensors

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> "ClassStatistics":
        """The inverse of `to_tensors`. Raises ArtifactError if the tensors have another form."""
        try:
            firing, amplitude = _group(tensors, _FIRING), _group(tensors, _AMPLITUDE)
            if firing.keys() != amplitude.keys():
                raise ArtifactError("class statistics have units with firing but no amplitude")
            return cls(tensors[_COUNT], firing, amplitude)
        except (KeyError, ValueError) as error:
            raise ArtifactError(f"not class statistics: {error}") from error


def _group(tensors: Mapping[str, Tensor], kind: str) -> dict[str, Tensor]:
    keys = sorted(key for key in tensors if key.startswith(f"{kind}/"))
    return {key.split("/", 2)[2]: tensors[key] for key in keys}


class StatisticsAccumulator:
    """Adds up batches; keeps sums only, never samples."""

    def __init__(self, num_classes: int) -> None:
        self._num_classes = num_classes
        self._count = torch.zeros(num_classes, dtype=torch.float64)
        self._firing: dict[str, Tensor] = {}
        self._amplitude: dict[str, Tensor] = {}

    def add(self, masks: Mapping[str, Tensor], labels: Tensor) -> None:
        """Add one batch: unit -> (N, n) masks, and labels (N,)."""
        # A product with the one-hot labels is deterministic on every device; scatter-add is not.
        members = nn.functional.one_hot(labels, self._num_classes).T.double()  # (C, N)
        self._count += members.sum(dim=1).cpu()
        for unit, mask in masks.items():
            values = mask.detach().double()
            _add_to(self._firing, unit, members @ (values > 0).double())
            _add_to(self._amplitude, unit, members @ values)

    def result(self) -> ClassStatistics:
        """The sums so far, on the CPU."""
        firing = {unit: value.cpu() for unit, value in self._firing.items()}
        amplitude = {unit: value.cpu() for unit, value in self._amplitude.items()}
        return ClassStatistics(self._count.clone(), firing, amplitude)


def _add_to(sums: dict[str, Tensor], unit: str, value: Tensor) -> None:
    sums[unit] = sums[unit] + value if unit in sums else value


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Eval mode and no gradients inside the block; the mode before is restored."""
    training = network.training
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        network.train(training)
