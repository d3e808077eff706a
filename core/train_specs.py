"""What a training can be asked (pydantic, torch-free)."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticKnownError

from core.approach_specs import ApproachSpec, CleaveSpec
from core.catalog import ARCHITECTURES, DATASETS, PACKAGED_NAME, PACKAGES, UPLOADED_ID, DatasetInfo
from core.job_options import Reference, TrainOptions

_DISTILLATION_WEIGHT = 0.5
# As the papers train, and as the trials in docs/method.md found better for class gates.
_OF_THE_RECIPE: dict[str, dict[str, float]] = {
    "published": {"learning_rate": 0.05, "weight_decay": 0.0},
    "cleave": {"learning_rate": 0.2, "weight_decay": 0.0005},
}
_WARMUP_OF_THE_RECIPE = {"published": 0.0, "cleave": 0.15}


def _left_to_the_recipe() -> Any:
    """No one default holds for every recipe; `_as_the_recipe_trains` fills it in."""
    return None


def _none_with_a_rate_of_ones_own() -> float:
    """A factory, since a client that sends a documented default would get another training than without."""
    return 0.0


def _known_architecture(name: str) -> str:
    """A registered name, or one of another package in the right form."""
    if name not in ARCHITECTURES and not re.fullmatch(PACKAGED_NAME, name):
        known = [f"'{known}'" for known in (*ARCHITECTURES, *(f"{package}:<name>" for package in PACKAGES))]
        raise PydanticKnownError("literal_error", {"expected": f"{', '.join(known[:-1])} or {known[-1]}"})
    return name


_ARCHITECTURE_SCHEMA = {
    "anyOf": [{"enum": list(ARCHITECTURES), "type": "string"}, {"pattern": PACKAGED_NAME, "type": "string"}]
}
Architecture = Annotated[str, AfterValidator(_known_architecture), WithJsonSchema(_ARCHITECTURE_SCHEMA)]


def _known_dataset(name: str) -> str:
    """A built-in dataset, or the id of an uploaded one."""
    if name not in DATASETS and not re.fullmatch(UPLOADED_ID, name):
        known = ", ".join(f"'{known}'" for known in DATASETS)
        raise PydanticKnownError(
            "literal_error", {"expected": f"{known} or the id (ds_...) of an uploaded dataset"}
        )
    return name


_DATASET_SCHEMA = {
    "anyOf": [{"enum": list(DATASETS), "type": "string"}, {"pattern": UPLOADED_ID, "type": "string"}]
}
Dataset = Annotated[str, AfterValidator(_known_dataset), WithJsonSchema(_DATASET_SCHEMA)]


def takes_images(architecture: str, info: DatasetInfo) -> str | None:
    """Why a registered network cannot take these images; None where it can, or only a worker knows."""
    return takes_size(architecture, *info.input_shape[1:], whose=f"{info.name} has")


def takes_size(architecture: str, height: int, width: int, whose: str) -> str | None:
    """The same for images of this height and width. `whose`: the message's word for them."""
    network = ARCHITECTURES.get(architecture)
    if network is None or (network.min_size <= min(height, width) and max(height, width) <= network.max_size):
        return None
    sizes = f"{network.min_size} to {network.max_size} pixels"
    return f"{network.name} takes images of {sizes}; {whose} {height}x{width}"


class TrainSpec(TrainOptions):
    """Train a network, modular or standard: from scratch, or from the weights of a model."""

    kind: Literal["train"] = "train"
    architecture: Architecture = Field(
        description="Registered architecture, or a classifier of torchvision or timm by its name there."
    )
    dataset: Dataset = Field(description="Built-in dataset by name, or uploaded one by id (ds_...).")
    approach: ApproachSpec = Field(
        default_factory=lambda: CleaveSpec(), description="Training method; without a `recipe`: cleave."
    )
    epochs: int = Field(200, ge=1, le=2000, description="Passes over the training images.")
    batch_size: int = Field(128, ge=2, le=8192, description="Images per step.")
    learning_rate: float = Field(
        default_factory=_left_to_the_recipe,
        gt=0,
        le=10,
        description="At most; a cosine takes it to 0. Left out: 0.2 for recipe cleave, else 0.05.",
    )
    warmup_ratio: float = Field(
        default_factory=_none_with_a_rate_of_ones_own,
        ge=0,
        lt=1,
        description="Share of the steps in which the rate rises to learning_rate; it then falls from step to "
        "step, without a warm-up from epoch to epoch. Left out together with learning_rate: 0.15 for recipe "
        "cleave.",
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="Nesterov momentum; 0 = none.")
    weight_decay: float = Field(
        default_factory=_left_to_the_recipe,
        ge=0,
        le=1,
        description="L2 penalty of the optimiser. Left out: 0.0005 for recipe cleave, else 0.",
    )
    augment: bool = Field(True, description="Apply the dataset's training augmentation, where it has one.")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Of the weights, the batches and the augmentation.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: the worker's GPU, if any.")
    deterministic: bool = Field(True, description="Same bits on the same machine; a little slower on a GPU.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="Of products; weights and losses are float32. auto = bfloat16 on a GPU or processor that "
        "has instructions for it.",
    )
    gradient_accumulation: int = Field(
        1,
        ge=1,
        le=256,
        description="Micro-batches per step, to save memory; BatchNorm and modularity losses see one.",
    )
    early_stop_patience: int | None = Field(
        None,
        ge=1,
        le=2000,
        description="End after this many epochs without better validation accuracy and keep the best epoch.",
    )
    max_train_samples: int | None = Field(
        None, ge=10, le=10_000_000, description="Train on the first N images of the fixed order."
    )
    checkpoint_interval_s: float = Field(
        30.0,
        ge=0,
        le=3600,
        description="Seconds between checkpoints; 0 = every step. A better epoch than before has one too, as "
        "long as those take at most a twentieth of the time.",
    )
    initial_model_id: Reference | None = Field(
        None,
        description="Start from the weights of this model of the same architecture, trained or imported; the "
        "head too, where the classes are the same. Mask generators start fresh.",
    )
    teacher_model_id: Reference | None = Field(
        None, description="Learn from this trained model of the same dataset too, by distillation."
    )
    distillation_weight: float = Field(
        _DISTILLATION_WEIGHT, gt=0, le=1, description="Share of the teacher in the task loss."
    )

    @model_validator(mode="after")
    def _as_the_recipe_trains(self) -> "TrainSpec":
        """What is left out is filled in, so that every stored spec says by which figures it was trained."""
        # What was stored before there was a warm-up names its rate, and goes on without one.
        if not {"learning_rate", "warmup_ratio"} & self.model_fields_set:
            object.__setattr__(self, "warmup_ratio", _WARMUP_OF_THE_RECIPE[self.approach.recipe])
        for name, value in _OF_THE_RECIPE[self.approach.recipe].items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        return self

    @model_validator(mode="after")
    def _weight_has_a_teacher(self) -> "TrainSpec":
        if self.teacher_model_id is None and self.distillation_weight != _DISTILLATION_WEIGHT:
            raise ValueError("distillation_weight needs a teacher_model_id")
        return self

    @model_validator(mode="after")
    def _micro_batches_fit(self) -> "TrainSpec":
        if self.batch_size < 2 * self.gradient_accumulation:
            raise ValueError("batch_size must be at least twice gradient_accumulation")
        return self

    @model_validator(mode="after")
    def _image_fits(self) -> "TrainSpec":
        info = DATASETS.get(self.dataset)  # the service asks of an uploaded one
        refusal = None if info is None else takes_images(self.architecture, info)
        if refusal is not None:
            raise ValueError(refusal)
        return self
