"""What the runners share: inputs from files, modules to files, figures of a network."""

import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from torch import Tensor, nn

from core.artifacts import (
    ONNX,
    PROGRAM,
    RECIPE,
    STATISTICS,
    WEIGHTS,
    ModulePart,
    Recipe,
    StoredNetwork,
    load_network,
    load_tensors,
    save_network,
    standard_network,
)
from core.composition.union import ModuleCutter, ModuleOptions
from core.datasets import ImageData, as_seen_by, load_dataset, load_uploaded
from core.errors import ArtifactError, ClassNotInModelError, Interrupted
from core.evaluation import (
    best_threshold,
    classification_metrics,
    multiply_accumulates,
    one_vs_rest,
    parameter_count,
    predict,
)
from core.export import export_onnx, export_program, require_onnx
from core.masks import ModuleMask
from core.reports import RunnerInput
from core.results import FileRef, MetricValue, ModuleResult
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


def module_metrics(
    network: nn.Module, data: ImageData, classes: Sequence[int], names: Sequence[str]
) -> list[MetricValue]:
    """Accuracy among the module's classes; for one class, how well its logit tells it from all others."""
    if len(classes) == 1:
        return detector_metrics(network, data, classes[0], SPLITS)
    metrics: list[MetricValue] = []
    for name in SPLITS:
        part = data.split(name).restricted(classes)
        logits = predict(network, part, data.info, CPU)
        metrics += classification_metrics(logits, part.labels, classes, names, name)
    return metrics


def detector_metrics(
    network: nn.Module, data: ImageData, index: int, splits: Sequence[Split], column: int = 0
) -> list[MetricValue]:
    """How well one logit tells its class from all others; the threshold is chosen on validation data.

    Args:
        network: in eval mode.
        data: the dataset, with all its classes.
        index: the class, as a label of the dataset.
        splits: what to report on.
        column: the class's logit.
    """

    def scored(split: Split) -> tuple[Tensor, Tensor]:
        part = data.split(split)
        return predict(network, part, data.info, CPU)[:, column], part.labels == index

    validation = scored("validation")
    threshold = best_threshold(*validation)
    metrics = [MetricValue(name="decision_threshold", value=threshold, split="validation")]
    for split in splits:
        scores, positive = validation if split == "validation" else scored(split)
        metrics += one_vs_rest(scores, positive, threshold).metrics(split)
    return metrics


class ModuleWriter:
    """Cuts modules out of one model, measures them and writes their files."""

    def __init__(self, job: RunnerInput, parent: StoredNetwork, data: ImageData | None) -> None:
        self.staging = Path(job.staging)
        self.parent = parent
        self.data = data
        self._cutter = ModuleCutter(parent.network, parent.recipe.input_shape)
        standard = standard_network(parent.recipe)
        self.standard_parameters = parameter_count(standard)
        self.standard_flops = multiply_accumulates(standard, parent.recipe.input_shape)

    def write(
        self,
        mask: ModuleMask,
        part: ModulePart,
        options: ModuleOptions,
        formats: Sequence[ArtifactFormat],
        lineage: dict[str, str],
    ) -> ModuleResult:
        """Build the module of `mask` (derived as `part` says) and write it to the staging folder."""
        recipe = self.parent.recipe
        names = [recipe.model_classes[index] for index in part.class_indices]
        extraction = self._cutter.build(mask, part.class_indices, options)
        network = extraction.network.eval()
        notes = [*part.notes, *extraction.notes]
        recipe = recipe.model_copy(
            update={
                "classes": names,
                "versions": code_versions(),
                "lineage": recipe.lineage | lineage,
                "module": part.model_copy(update={"notes": notes}),
            }
        )
        parameters, flops = parameter_count(network), multiply_accumulates(network, recipe.input_shape)
        return ModuleResult(
            classes=names,
            form=part.form,
            fold_amplitudes=part.fold_amplitudes,
            threshold=part.threshold,
            mask_digest=mask.digest(),
            retention_rate=mask.retention_rate(),
            parameters=parameters,
            parameter_rate=parameters / self.standard_parameters,
            flops=flops,
            flops_rate=flops / self.standard_flops,
            notes=notes,
            metrics=module_metrics(network, self.data, part.class_indices, names) if self.data else [],
            files=self._write_files(network, recipe, formats),
        )

    def _write_files(self, network: nn.Module, recipe: Recipe, formats: Sequence[str]) -> list[FileRef]:
        number = sum(1 for entry in self.staging.iterdir() if entry.is_dir())
        folder = self.staging / f"module-{number:04d}"
        stem = f"{safe_stem([recipe.architecture])}-{safe_stem(recipe.classes)}"
        recipe = save_network(network, recipe, folder)  # type: ignore[arg-type]  # an fx.GraphModule by construction
        files = [
            file_ref("weights", folder, WEIGHTS, self.staging, stem),
            file_ref("recipe", folder, RECIPE, self.staging, stem),
        ]
        if "pt2" in formats:
            export_program(network, recipe, folder / PROGRAM)
            files.append(file_ref("program", folder, PROGRAM, self.staging, stem))
        if "onnx" in formats:
            export_onnx(network, recipe, folder / ONNX)
            files.append(file_ref("onnx", folder, ONNX, self.staging, stem))
        return files


def safe_stem(names: Sequence[str]) -> str:
    """Class names as part of a file name: ASCII letters, digits and dashes, at most 80 characters."""
    text = "-".join("".join(c if c.isascii() and c.isalnum() else "_" for c in name) for name in names)
    return text if len(text) <= 80 else f"{len(names)}-classes"
