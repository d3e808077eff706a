"""What to say of a training that ended without having learned: it succeeded, and nobody should use it."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from core.results import MetricValue

_STANDARD_ERRORS = 2.0
_GROWTH = 1.5
_NOTICEABLE = 0.05  # of log(classes), the loss of guessing


class Doubts:
    """Watches the figures of the epochs that this process trains."""

    def __init__(self, validation_labels: Tensor, classes: int) -> None:
        count = len(validation_labels)
        self._commonest = int(torch.bincount(validation_labels.cpu(), minlength=classes).max()) / count
        # What an answer that looks at no image may reach by luck.
        deviation = math.sqrt(self._commonest * (1 - self._commonest) / count)
        self._chance = self._commonest + _STANDARD_ERRORS * deviation
        self._noticeable = _NOTICEABLE * math.log(max(2, classes))
        self._losses: dict[int, float] = {}
        self._accuracies: dict[int, float] = {}

    def note(self, figures: Iterable[MetricValue]) -> None:
        """Add an epoch's figures."""
        for figure in figures:
            if figure.epoch is not None and (figure.split, figure.name) == ("train", "loss"):
                self._losses[figure.epoch] = figure.value
            elif figure.epoch is not None and (figure.split, figure.name) == ("validation", "accuracy"):
                self._accuracies[figure.epoch] = figure.value

    def messages(self, kept: int) -> list[str]:
        """One for each doubt about the network of epoch `kept`; none about epochs of another process."""
        said = []
        if kept in self._accuracies and self._accuracies[kept] <= self._chance:
            said.append(_GUESSES.format(accuracy=self._accuracies[kept], commonest=self._commonest))
        if kept in self._losses:
            best = min((epoch for epoch in self._losses if epoch <= kept), key=self._losses.__getitem__)
            lowest, last = self._losses[best], self._losses[kept]
            if last > max(_GROWTH * lowest, lowest + self._noticeable):
                said.append(_GROWS.format(lowest=lowest, best=best, last=last, kept=kept))
        return said


_GUESSES = (
    "the network has learned nothing: its validation accuracy of {accuracy:.1%} is no better than answering "
    "the commonest class each time ({commonest:.1%}). A smaller learning_rate, more epochs or another "
    "architecture may help."
)
_GROWS = (
    "the training loss grew from {lowest:.3g} in epoch {best} to {last:.3g} in epoch {kept}, whose weights "
    "are kept. A smaller learning_rate or early_stop_patience may help."
)
