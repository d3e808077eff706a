"""What the demo does: every number it chooses, in one place."""

from dataclasses import dataclass
from typing import Any

DATASET = "digits"
ARCHITECTURE = "small_cnn"
APPROACHES: dict[str, dict[str, Any]] = {
    "cleave": {"name": "nemo"},  # the default recipe
    "nemo": {"name": "nemo", "recipe": "published"},
    "mwt": {"name": "mwt", "recipe": "published"},
}
CLASS_SETS: tuple[tuple[str, ...], ...] = (("3", "5", "8"), tuple("0123456789"))

FULL_ACCURACY_FLOOR = 0.97
LOSS_CEILING = 0.005


@dataclass(frozen=True)
class Form:
    """A way to cut a module out of its model."""

    label: str
    options: dict[str, Any]


_AS_TRAINED = Form("static, as trained", {"form": "static"})
_GATED = Form("gated", {"form": "gated"})
_PUBLISHED_FORMS = (
    Form("static", {"form": "static", "fold_amplitudes": False}),
    Form("static + amplitudes", {"form": "static", "fold_amplitudes": True}),
    _GATED,
)
# The forms that promise to lose nothing at the cut.
FAITHFUL_FORMS = (_AS_TRAINED.label, _GATED.label)


def forms_of(approach: str) -> tuple[Form, ...]:
    """The forms of an approach's modules, the faithful one last."""
    return (_AS_TRAINED,) if approach == "cleave" else _PUBLISHED_FORMS


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
