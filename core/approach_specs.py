"""How a training can be modular: one specification per method and recipe (pydantic, torch-free)."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag


class Frozen(BaseModel):
    """Base of everything that can be asked."""

    # Strict: "1", true or 1.0 for a number of epochs is a mistake to tell, not one to guess about. Lists are
    # declared as `list`, because a strict tuple would refuse JSON's arrays.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


class StandardSpec(Frozen):
    """Plain training: cross-entropy, no mask generators. The baseline."""

    name: Literal["standard"] = "standard"
    recipe: Literal["published"] = "published"


class CleaveSpec(Frozen):
    """The default recipe of every modular method: networks trained as they will be cut, static and small."""

    name: Literal["nemo", "mwt", "moda"] = Field("nemo", description="Whose objective keeps classes apart.")
    recipe: Literal["cleave"] = "cleave"
    retention: float = Field(
        0.35,
        ge=0.01,
        le=1,
        description="Share of the last unit's neurons a class keeps; early units keep up to its square root.",
    )
    alpha: float = Field(0.0, ge=0, le=100, description="Weight of the method's objective on class masks.")
    whole_sets: float = Field(
        0.25, ge=0, le=1, description="Share of training samples asked about all classes at once."
    )


class MwtSpec(Frozen):
    """MwT (ICSE 2024): mask generators trained with cohesion and coupling losses."""

    name: Literal["mwt"] = "mwt"
    recipe: Literal["published"] = "published"
    alpha: float = Field(0.5, ge=0, le=100, description="Weight of the cohesion loss.")
    beta: float = Field(1.5, ge=0, le=100, description="Weight of the coupling loss.")


class NemoSpec(Frozen):
    """NeMo (TOSEM 2025): mask generators trained with one contrastive loss."""

    name: Literal["nemo"] = "nemo"
    recipe: Literal["published"] = "published"
    alpha: float = Field(1.3, ge=0, le=100, description="Weight of the contrastive loss.")
    temperature: float = Field(0.2, ge=0.01, le=10, description="Temperature of the contrastive loss.")
    zero_terms: bool = Field(
        True, description="Keep the exp(0) terms of unselected pairs, as the published code does."
    )
    self_term: bool = Field(
        True, description="Count each sample as its own positive, as the published code does."
    )
    first_unit_in_loss: bool = Field(
        False,
        description="False: the first masked layer enters the loss as all ones (published code, CNNs).",
    )


class ModaSpec(Frozen):
    """MODA (ICSE 2026): no mask generators; losses on the outputs of the ReLU layers."""

    name: Literal["moda"] = "moda"
    recipe: Literal["published"] = "published"
    alpha: float = Field(1.0, ge=0, le=100, description="Weight of the affinity loss.")
    beta: float = Field(1.0, ge=0, le=100, description="Weight of the dispersion loss.")
    gamma: float = Field(0.3, ge=0, le=100, description="Weight of the compactness loss.")


# What a model must come from to have mask generators, and with them gated modules: (method, recipe).
GATED_RECIPES = (("mwt", "published"), ("nemo", "published"))


def _tag(value: Any) -> str | None:
    """Which specification an approach is meant to be: a method's name without a recipe means `cleave`."""
    name, recipe = (
        value.get(key) if isinstance(value, dict) else getattr(value, key, None) for key in ("name", "recipe")
    )
    return "cleave" if name in ("nemo", "mwt", "moda") and recipe in (None, "cleave") else name


ApproachSpec = Annotated[
    Annotated[StandardSpec, Tag("standard")]
    | Annotated[CleaveSpec, Tag("cleave")]
    | Annotated[MwtSpec, Tag("mwt")]
    | Annotated[NemoSpec, Tag("nemo")]
    | Annotated[ModaSpec, Tag("moda")],
    Discriminator(
        _tag,
        # Told as an error of `name`: the tags are ours alone.
        custom_error_type="unknown_approach",
        custom_error_message="must be one of 'standard', 'nemo', 'mwt', 'moda'",
    ),
]
