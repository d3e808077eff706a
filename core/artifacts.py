"""Networks on disk: `weights.safetensors` beside `recipe.json`, which says how to rebuild what they fill.

Nothing here unpickles: a network is rebuilt from its recipe (architecture, mask, classes), then filled.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, fx, nn

from core.approaches import create_approach
from core.architectures import create
from core.datasets import ImageData
from core.errors import ArtifactError
from core.masks import ModuleMask
from core.specs import ApproachSpec, ModuleForm, TrainSpec
from core.surgery.extraction import CutPlan
from core.surgery.masking import remove_generators

WEIGHTS, RECIPE, STATISTICS, PROGRAM, ONNX = (
    "weights.safetensors",
    "recipe.json",
    "statistics.safetensors",
    "model.pt2",
    "model.onnx",
)
FORMAT = "cleave/1"


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModulePart(_Strict):
    """How a module was cut from its model; `mask` is `ModuleMask.to_json()`."""

    form: ModuleForm
    fold_amplitudes: bool
    threshold: float | None
    class_indices: list[int]
    mask: dict[str, Any]
    notes: list[str] = []


class Recipe(_Strict):
    """Everything needed to rebuild a network and to say where it came from (lineage: the service's ids).

    Of an imported model there are no seed and no train_samples, and perhaps no dataset.
    """

    format: str = FORMAT
    architecture: str
    model_classes: list[str]
    classes: list[str]
    input_shape: tuple[int, int, int]
    mean: list[float]
    std: list[float]
    approach: ApproachSpec
    dataset: str | None
    dataset_digest: str | None
    seed: int | None
    train_samples: int | None
    weights_sha256: str = ""
    versions: dict[str, str]
    lineage: dict[str, str] = {}
    module: ModulePart | None = None

    @property
    def mask(self) -> ModuleMask | None:
        """The module's mask; None for a whole model."""
        return None if self.module is None else ModuleMask.from_json(self.module.mask)

    @property
    def class_indices(self) -> list[int]:
        """Position of each output in the whole model's logits."""
        return list(range(len(self.classes))) if self.module is None else self.module.class_indices


@dataclass(frozen=True)
class StoredNetwork:
    """A network in eval mode with the recipe it was rebuilt from."""

    network: fx.GraphModule
    recipe: Recipe


def training_recipe(
    spec: TrainSpec, data: ImageData, versions: dict[str, str], lineage: dict[str, str]
) -> Recipe:
    """The recipe of the whole model that a training leaves."""
    names = list(data.info.class_names)
    return Recipe(
        architecture=spec.architecture,
        model_classes=names,
        classes=names,
        input_shape=data.info.input_shape,
        mean=list(data.info.mean),
        std=list(data.info.std),
        approach=spec.approach,
        dataset=spec.dataset,
        dataset_digest=data.digest,
        seed=spec.seed,
        train_samples=min(len(data.train), spec.max_train_samples or len(data.train)),
        versions=versions,
        lineage=lineage,
    )


def file_sha256(path: Path) -> str:
    """sha256 hex of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_network(network: fx.GraphModule, recipe: Recipe, folder: Path) -> Recipe:
    """Write weights and recipe into `folder` (made if missing); returns the recipe with their digest."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / WEIGHTS
    # clone: safetensors refuses tensors that share memory; a shared layer is saved under each of its names.
    save_file({name: value.detach().cpu().clone() for name, value in network.state_dict().items()}, weights)
    recipe = recipe.model_copy(update={"weights_sha256": file_sha256(weights)})
    (folder / RECIPE).write_text(recipe.model_dump_json(indent=2) + "\n")
    return recipe


def read_recipe(path: Path) -> Recipe:
    """Raises ArtifactError when the file is not a recipe of a known format."""
    try:
        recipe = TypeAdapter(Recipe).validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ArtifactError(f"{path.name} is not a readable recipe") from error
    if recipe.format != FORMAT:
        raise ArtifactError(f"{path.name} has format {recipe.format!r}; this version reads {FORMAT!r}")
    return recipe


def standard_network(recipe: Recipe) -> nn.Module:
    """The plain architecture with untrained weights: what sizes are compared with."""
    with torch.random.fork_rng(devices=[]):
        return create(recipe.architecture, len(recipe.model_classes), recipe.input_shape).eval()


def rebuild(recipe: Recipe) -> fx.GraphModule:
    """The recipe's network with untrained weights, in eval mode. Leaves the global random state alone."""
    with torch.random.fork_rng(devices=[]):
        approach = create_approach(recipe.approach)
        network = approach.trained(standard_network(recipe), len(recipe.model_classes)).eval()
    mask = recipe.mask
    if recipe.module is None or mask is None:
        return network
    if recipe.module.form == "static":
        network = remove_generators(network)
    folds = recipe.module.form == "static" and recipe.module.fold_amplitudes
    # Folding gives a normalisation without weights some.
    ones = {name: torch.ones(len(kept)) for name, kept in mask.items()} if folds else None
    plan = CutPlan(network, recipe.input_shape)
    return plan.extract(mask, classes=recipe.class_indices, amplitudes=ones).network.eval()


def load_network(recipe_path: Path, weights_path: Path) -> StoredNetwork:
    """Rebuild a network and fill it, checking digest, names and shapes.

    Raises:
        ArtifactError: the files do not belong together or are damaged.
    """
    recipe = read_recipe(recipe_path)
    if file_sha256(weights_path) != recipe.weights_sha256:
        raise ArtifactError(
            f"{weights_path.name} does not have the sha256 its recipe names: damaged or foreign"
        )
    network = rebuild(recipe)
    try:
        network.load_state_dict(load_file(weights_path), strict=True)
    except (SafetensorError, RuntimeError) as error:
        raise ArtifactError(f"{weights_path.name} does not fit its recipe: {error}") from error
    return StoredNetwork(network.eval(), recipe)


def load(folder: Path) -> StoredNetwork:
    """Load a downloaded model, module or composition from a folder with its recipe and its weights.

    Files may have any name that ends in `recipe.json` and `.safetensors`; class statistics are passed over.
    """
    weights = [path for path in folder.glob("*.safetensors") if not path.name.endswith(STATISTICS)]
    recipes = list(folder.glob(f"*{RECIPE}"))
    if len(recipes) != 1 or len(weights) != 1:
        raise ArtifactError(
            f"{folder} needs one *{RECIPE} and one *.safetensors; it has {len(recipes)} and {len(weights)}"
        )
    return load_network(recipes[0], weights[0])


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, path)


def load_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ArtifactError(f"{path.name} is not a readable safetensors file") from error


def program_metadata(recipe: Recipe) -> dict[str, str]:
    """Facts that travel inside a `.pt2` as `cleave.json`."""
    facts = {
        "format": FORMAT,
        "classes": recipe.classes,
        "input_shape": list(recipe.input_shape),
        "input": "float32 images in [0, 1], (N, C, H, W); normalisation is inside",
        "output": "logits (N, classes), in the order of `classes`",
        "architecture": recipe.architecture,
        "dataset_digest": recipe.dataset_digest,
        "lineage": recipe.lineage,
        "versions": recipe.versions,
    }
    return {"cleave.json": json.dumps(facts, sort_keys=True)}
