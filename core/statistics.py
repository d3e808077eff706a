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
    """Adds up batches on the masks' device; keeps sums only, never samples."""

    def __init__(self, num_classes: int) -> None:
        self._num_classes = num_classes
        self._widths: dict[str, int] = {}
        # Of all units side by side: count (C,), firing (C, K), amplitude (C, K).
        self._sums: tuple[Tensor, Tensor, Tensor] | None = None

    def add(self, masks: Mapping[str, Tensor], labels: Tensor) -> None:
        """Add one batch: unit -> (N, n) masks, and labels (N,)."""
        self._widths = {unit: mask.shape[1] for unit, mask in masks.items()}
        values = torch.cat([mask.detach().double() for mask in masks.values()], dim=1)  # (N, K)
        # A product with the one-hot labels is deterministic on every device; scatter-add is not.
        classes = torch.arange(self._num_classes, device=labels.device)
        members = (labels[None, :] == classes[:, None]).double()  # (C, N)
        batch = (members.sum(dim=1), members @ (values > 0).double(), members @ values)
        sums = self._sums or tuple(torch.zeros_like(value) for value in batch)
        self._sums = (sums[0] + batch[0], sums[1] + batch[1], sums[2] + batch[2])

    def result(self) -> ClassStatistics:
        """The sums so far, on the CPU."""
        if self._sums is None:
            return ClassStatistics(torch.zeros(self._num_classes, dtype=torch.float64), {}, {})
        count, firing, amplitude = (value.cpu() for value in self._sums)
        return ClassStatistics(count, self._by_unit(firing), self._by_unit(amplitude))

    def _by_unit(self, sums: Tensor) -> dict[str, Tensor]:
        parts = torch.split(sums, list(self._widths.values()), dim=1)
        # clone: tensor files refuse parts of one tensor.
        return {unit: part.clone() for unit, part in zip(self._widths, parts, strict=True)}


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
