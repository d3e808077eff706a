"""Which epoch was the best, and whose weights a training keeps: the last's, or with early stopping its."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

_ACCURACY, _EPOCH, _WEIGHTS = "accuracy", "epoch", "weights."


class BestEpoch:
    """Epoch of the highest validation accuracy so far (the earliest of equals), and its weights if asked."""

    def __init__(self, patience: int | None) -> None:
        self._patience = patience
        self.accuracy, self.epoch = -1.0, 0
        self._weights: dict[str, Tensor] = {}

    def consider(self, network: nn.Module, epoch: int, accuracy: float) -> None:
        """Remember the network as it is now, if it is better than any before."""
        if accuracy <= self.accuracy:
            return
        self.accuracy, self.epoch = accuracy, epoch
        if self._patience is not None:
            self._weights = {name: value.detach().clone() for name, value in network.state_dict().items()}

    def exhausted(self, epoch: int) -> bool:
        """Whether `patience` epochs have brought nothing better; never without early stopping."""
        return self._patience is not None and epoch - self.epoch >= self._patience

    def kept(self, last: int) -> int:
        """The epoch whose weights are kept, when `last` was the last one."""
        return last if self._patience is None else self.epoch

    def restore(self, network: nn.Module) -> None:
        """Give the network the best epoch's weights, if there is one."""
        if self._weights:
            network.load_state_dict(self._weights)

    def to_tensors(self) -> dict[str, Tensor]:
        """Everything, for a checkpoint; empty before the first epoch."""
        if self.epoch == 0:
            return {}
        figures = {
            _ACCURACY: torch.tensor(self.accuracy, dtype=torch.float64),
            _EPOCH: torch.tensor(self.epoch),
        }
        return figures | {f"{_WEIGHTS}{name}": value for name, value in self._weights.items()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of `to_tensors`. Raises KeyError if a figure is missing."""
        if not tensors:
            return
        self.accuracy, self.epoch = tensors[_ACCURACY].item(), int(tensors[_EPOCH])
        self._weights = {
            name.removeprefix(_WEIGHTS): value for name, value in tensors.items() if name.startswith(_WEIGHTS)
        }
