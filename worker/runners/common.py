"""What the runners share: inputs from files, modules to files, figures of a network."""

import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from core.artifacts import (
    RECIPE,
    STATISTICS,
    Recipe,
    StoredNetwork,
    load_network,
    load_tensors,
)
from core.datasets import ImageData, as_seen_by, load_dataset, load_uploaded
from core.errors import ArtifactError, ClassNotInModelError, Interrupted
from core.export import require_onnx
from core.reports import RunnerInput
from core.results import FileRef
from core.specs import ArtifactFormat, Split
from core.statistics import ClassStatistics

SPLITS: tuple[Split, ...] = ("validation", "test")
CPU = torch.device("cpu")
DATA_ROLES = ("data:images", "data:labels", "data:dataset")
_MEDIA = {
    "safetensors": "application/octet-stream",
    "json": "application/json",
    "pt2": "application/zip",
    "onnx": "application/octet-stream",
}


def code_versions() -> dict[str, str]:
    """What computed the result, for lineage."""
    try:
        cleave = version("cleave")
    except PackageNotFoundError:
        cleave = "unpackaged"
    return {
        "cleave": cleave,
        "python": platform.python_version(),
        "torch": torch.__version__,
        # Asked for by name: importing torchvision takes seconds, and most jobs do not need it.
        "torchvision": version("torchvision"),
    }


def check_stop(should_stop: Callable[[], bool]) -> None:
    """Raises Interrupted when the supervisor has asked this job to stop."""
    if should_stop():
        raise Interrupted


def require_formats(formats: Sequence[ArtifactFormat]) -> None:
    """Raises MissingPackageError, before anything is computed, if this worker cannot write one of them."""
    if "onnx" in formats:
        require_onnx()


def input_network(job: RunnerInput) -> StoredNetwork:
    return load_network(Path(job.files["recipe"]), Path(job.files["weights"]))


def initial_network(job: RunnerInput) -> StoredNetwork:
    """The model that a training starts from."""
    return load_network(Path(job.files["initial:recipe"]), Path(job.files["initial:weights"]))


def input_statistics(job: RunnerInput) -> ClassStatistics:
    return ClassStatistics.from_tensors(load_tensors(Path(job.files["statistics"])))


def part_paths(job: RunnerInput) -> list[Path]:
    """The parts of an upload, in their order."""
    numbers = sorted(int(role.removeprefix("part:")) for role in job.files if role.startswith("part:"))
    return [Path(job.files[f"part:{number}"]) for number in numbers]


def dataset_of(job: RunnerInput, name: str) -> ImageData:
    """The job's dataset: an uploaded one comes as files, a built-in one by its name."""
    if DATA_ROLES[0] in job.files:
        return load_uploaded(*(Path(job.files[role]) for role in DATA_ROLES))
    return load_dataset(name, None if job.data_root is None else Path(job.data_root))


def own_data(job: RunnerInput, recipe: Recipe) -> ImageData:
    """The dataset the network is of, with classes of its own; refuses one that has changed since."""
    if recipe.dataset is None:
        raise ArtifactError("the model is of no dataset")
    data = dataset_of(job, recipe.dataset)
    if data.digest != recipe.dataset_digest:
        raise ArtifactError(
            f"dataset {recipe.dataset} is not the one this model was trained on: its digest has changed"
        )
    return data


def input_data(job: RunnerInput, recipe: Recipe) -> ImageData:
    """The dataset the network is of, by the network's classes and normalisation; refuses a changed one."""
    data = as_seen_by(own_data(job, recipe), recipe.model_classes, recipe.mean, recipe.std)
    return (
        data if recipe.train_samples is None else replace(data, train=data.train.first(recipe.train_samples))
    )


def class_indices(known: Sequence[str], wanted: Iterable[str]) -> list[int]:
    """Positions of class names. Raises ClassNotInModelError naming the first unknown one."""
    lookup = {name: index for index, name in enumerate(known)}
    indices = []
    for name in wanted:
        if name not in lookup:
            raise ClassNotInModelError(f"the model does not know class {name!r}; it knows {', '.join(known)}")
        indices.append(lookup[name])
    return indices


def file_ref(role: str, folder: Path, name: str, staging: Path, stem: str) -> FileRef:
    """A reference to `folder/name`, offered for download as `<stem>.<suffix>`."""
    suffix = "recipe.json" if name == RECIPE else name.split(".", 1)[1]
    suffix = f"statistics.{suffix}" if name == STATISTICS else suffix
    return FileRef.model_validate(
        {
            "role": role,
            "path": str((folder / name).relative_to(staging)),
            "filename": f"{stem}.{suffix}",
            "media_type": _MEDIA[name.rsplit(".", 1)[1]],
        }
    )


def safe_stem(names: Sequence[str]) -> str:
    """Class names as part of a file name: ASCII letters, digits and dashes, at most 80 characters."""
    text = "-".join("".join(c if c.isascii() and c.isalnum() else "_" for c in name) for name in names)
    return text if len(text) <= 80 else f"{len(names)}-classes"
