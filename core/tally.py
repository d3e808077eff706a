"""The figures of one epoch under way, summed on the device."""

from collections.abc import Mapping

import torch
from torch import Tensor

from core.approaches import LossTerms
from core.errors import TrainingDivergedError

DIVERGED = "the {split} loss became NaN or infinite; a smaller learning_rate may help"


def figures_of(loss: LossTerms, masks: Mapping[str, Tensor], right: Tensor) -> dict[str, Tensor]:
    """A batch's sums; `right` (N,) says which samples were classified correctly."""
    count = len(right)
    figures = {
        "samples": torch.full_like(loss.total, count, dtype=torch.float64),
        "loss": loss.total.detach().double() * count,
        "accuracy": right.sum().double(),
    }
    figures |= {f"loss_{name}": value.detach().double() * count for name, value in loss.terms.items()}
    if masks:
        # Of all units side by side: on a GPU the number of kernels counts, not what each does.
        on = (torch.cat([mask.detach() for mask in masks.values()], dim=1) > 0).sum(dim=0).double()
        parts = torch.split(on, [mask.shape[1] for mask in masks.values()])
        figures["density"] = torch.stack([times.mean() for times in parts])  # (units,)
    return figures


class EpochTally:
    """Sums over the samples of one epoch, kept on the device so that no step waits for it."""

    def __init__(self, sums: Mapping[str, Tensor] | None = None) -> None:
        self.sums: dict[str, Tensor] = dict(sums or {})

    def add(self, figures: Mapping[str, Tensor]) -> None:
        """Add a batch: what `figures_of` made of it."""
        for name, value in figures.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value.clone()

    def require_finite(self) -> None:
        """Raises TrainingDivergedError; this waits for the device."""
        if "loss" in self.sums and not self.sums["loss"].isfinite():
            raise TrainingDivergedError(DIVERGED.format(split="training"))

    def means(self) -> dict[str, float]:
        """Each figure per sample; `mask_density` is the mean over units of the share on (published log)."""
        means = {name: value / self.sums["samples"] for name, value in self.sums.items() if name != "samples"}
        density = means.pop("density", None)
        # Sorted: a restored tally lists its sums in another order than the one that was stored.
        figures = {name: means[name].item() for name in sorted(means)}
        return figures if density is None else figures | {"mask_density": density.mean().item()}

    def dead(self, units: list[str]) -> list[str]:
        """Units none of whose neurons was on for any sample of the epoch."""
        density = self.sums.get("density")
        return [] if density is None else [units[i] for i in (density == 0).nonzero().flatten().tolist()]
