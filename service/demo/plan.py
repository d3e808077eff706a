"""What the demo does: every number it chooses, in one place."""

from dataclasses import dataclass
from typing import Any

DATASET = "digits"
ARCHITECTURE = "small_cnn"
APPROACHES: dict[str, dict[str, Any]] = {
    "nemo": {"name": "nemo"},
    "mwt": {"name": "mwt"},
}
CLASS_SETS: tuple[tuple[str, ...], ...] = (("3", "5", "8"), tuple("0123456789"))

FULL_ACCURACY_FLOOR = 0.97
GATED_LOSS_CEILING = 0.005


@dataclass(frozen=True)
class Form:
    """A way to cut a module out of its model."""

    label: str
    options: dict[str, Any]


FORMS = (
    Form("static", {"form": "static", "fold_amplitudes": False}),
    Form("static + amplitudes", {"form": "static", "fold_amplitudes": True}),
    Form("gated", {"form": "gated"}),
)


@dataclass(frozen=True)
class Plan:
    """What can be made smaller for a quick look."""

    approaches: tuple[str, ...] = tuple(APPROACHES)
    epochs: int = 15
    batch_size: int = 32
    seed: int = 0

    def train_spec(self, approach: str) -> dict[str, Any]:
        return {
            "kind": "train",
            "architecture": ARCHITECTURE,
            "dataset": DATASET,
            "approach": APPROACHES[approach],
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "metadata": {"made_by": "cleave demo"},
        }
