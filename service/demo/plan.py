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


@dataclass(frozen=True)
class Form:
    """A way to cut a module out of its model.

    Attributes:
        label: what it is called in tables.
        options: of an extraction or composition.
        ceiling: the share of accuracy it promises not to lose against the full model; None promises nothing.
    """

    label: str
    options: dict[str, Any]
    ceiling: float | None = None


# One test image of {3, 5, 8} is 0.9 points.
_AS_TRAINED = Form("static, as trained", {"form": "static"}, ceiling=0.02)
_GATED = Form("gated", {"form": "gated"}, ceiling=0.005)
_PUBLISHED_FORMS = (
    Form("static", {"form": "static", "fold_amplitudes": False}),
    Form("static + amplitudes", {"form": "static", "fold_amplitudes": True}),
    _GATED,
)


def forms_of(approach: str) -> tuple[Form, ...]:
    """The forms of an approach's modules, the one that promises something last."""
    return (_AS_TRAINED,) if approach == "cleave" else _PUBLISHED_FORMS


def extra_forms(approach: str) -> tuple[str, ...]:
    """Forms to extract beside the model's own: they have a threshold, and so neurons, of their own."""
    return () if approach == "cleave" else ("static",)


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
