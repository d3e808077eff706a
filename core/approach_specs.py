"""How a training can be modular: one specification per method and recipe (pydantic, torch-free)."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError


class Frozen(BaseModel):
    """Base of everything that can be asked."""

    # Strict: "1", true or 1.0 for a number of epochs is a mistake to tell, not one to guess about. Lists are
    # declared as `list`, because a strict tuple would refuse JSON's arrays.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


def _asked_by(*fields: str) -> ConfigDict:
    """In JSON these fields tell the specifications apart, so they must be given; in Python the class does."""

    def require(schema: dict[str, Any]) -> None:
        schema["required"] = list(fields)
        for name in fields:
            schema["properties"][name].pop("default")

    return ConfigDict(json_schema_extra=require)


class StandardSpec(Frozen):
    """Plain training: cross-entropy, no mask generators. The baseline."""

    model_config = _asked_by("name")

    name: Literal["standard"] = "standard"
    recipe: Literal["published"] = "published"


class CleaveSpec(Frozen):
    """The default recipe of every modular method: networks trained as they will be cut, static and small."""

    model_config = _asked_by("name")

    name: Literal["nemo", "mwt", "moda"] = Field("nemo", description="Whose objective keeps classes apart.")
    recipe: Literal["cleave"] = "cleave"
    retention: float = Field(
        0.35,
        ge=0.01,
        le=1,
        description="Share of the last unit's neurons a class keeps; early units keep up to its square root, "
        "those that write one residual stream their mean.",
    )
    alpha: float = Field(0.0, ge=0, le=100, description="Weight of the method's objective on class masks.")
    whole_sets: float = Field(
        0.25, ge=0, le=1, description="Share of training samples asked about all classes at once."
    )


class MwtSpec(Frozen):
    """MwT (ICSE 2024): mask generators trained with cohesion and coupling losses."""

    model_config = _asked_by("name", "recipe")

    name: Literal["mwt"] = "mwt"
    recipe: Literal["published"] = "published"
    alpha: float = Field(0.5, ge=0, le=100, description="Weight of the cohesion loss.")
    beta: float = Field(1.5, ge=0, le=100, description="Weight of the coupling loss.")


class NemoSpec(Frozen):
    """NeMo (TOSEM 2025): mask generators trained with one contrastive loss."""

    model_config = _asked_by("name", "recipe")

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

    model_config = _asked_by("name", "recipe")

    name: Literal["moda"] = "moda"
    recipe: Literal["published"] = "published"
    alpha: float = Field(1.0, ge=0, le=100, description="Weight of the affinity loss.")
    beta: float = Field(1.0, ge=0, le=100, description="Weight of the dispersion loss.")
    gamma: float = Field(0.3, ge=0, le=100, description="Weight of the compactness loss.")


# What a model must come from to have mask generators, and with them gated modules: (method, recipe).
GATED_RECIPES = (("mwt", "published"), ("nemo", "published"))


def _by_method(*models: type[Frozen]) -> dict[str, dict[str, type[Frozen]]]:
    """Method -> recipe -> specification."""
    found: dict[str, dict[str, type[Frozen]]] = {}
    for model in models:
        fields = model.model_fields
        for name in get_args(fields["name"].annotation):
            found.setdefault(name, {})[fields["recipe"].default] = model
    return found


# A method's first recipe is what its name alone means.
_RECIPES = _by_method(StandardSpec, CleaveSpec, MwtSpec, NemoSpec, ModaSpec)


def _tag(value: Any) -> str:
    """Which specification this is; `_validate` has seen to it that there is one."""
    if isinstance(value, BaseModel):
        return type(value).__name__
    recipes = _RECIPES[value["name"]]
    return recipes[value.get("recipe", next(iter(recipes)))].__name__


def _validate(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """Tells what is wrong by the caller's fields: the tags of the union are ours alone."""
    if isinstance(value, BaseModel):
        return handler(value)
    mistake = _misaddressed(value)
    if mistake is not None:
        raise ValidationError.from_exception_data("ApproachSpec", [mistake])
    try:
        return handler(value)
    except ValidationError as error:
        lines = [_retold(item, _RECIPES[value["name"]]) for item in error.errors()]
        raise ValidationError.from_exception_data(error.title, lines) from None


def _misaddressed(value: Any) -> InitErrorDetails | None:
    """Why no specification has this method and recipe."""
    if not isinstance(value, dict):
        return {"type": "dict_type", "input": value}
    if "name" not in value:
        return {"type": "missing", "loc": ("name",), "input": value}
    if value["name"] not in list(_RECIPES):  # a list: what cannot be hashed is not known either
        return _not_among(_RECIPES, "name", value)
    recipes = _RECIPES[value["name"]]
    if "recipe" in value and value["recipe"] not in list(recipes):
        return _not_among(recipes, "recipe", value)
    return None


def _not_among(known: Iterable[str], field: str, value: dict[str, Any]) -> InitErrorDetails:
    *names, last = [f"'{name}'" for name in known]
    expected = f"{', '.join(names)} or {last}" if names else last
    return {"type": "literal_error", "loc": (field,), "input": value[field], "ctx": {"expected": expected}}


def _retold(item: ErrorDetails, recipes: dict[str, type[Frozen]]) -> InitErrorDetails:
    """The error without the union's tag, and with the recipe that has the field, if one has."""
    _, field, *rest = item["loc"]
    kind: str | PydanticCustomError = item["type"]
    others = [recipe for recipe, model in recipes.items() if field in model.model_fields]
    if kind == "extra_forbidden" and others:
        kind = PydanticCustomError(kind, "Only recipe '{recipe}' has this field", {"recipe": others[0]})
    return {"type": kind, "loc": (field, *rest), "input": item["input"], "ctx": item.get("ctx", {})}


ApproachSpec = Annotated[
    Annotated[StandardSpec, Tag("StandardSpec")]
    | Annotated[CleaveSpec, Tag("CleaveSpec")]
    | Annotated[MwtSpec, Tag("MwtSpec")]
    | Annotated[NemoSpec, Tag("NemoSpec")]
    | Annotated[ModaSpec, Tag("ModaSpec")],
    Discriminator(_tag),
    WrapValidator(_validate),
]
