"""Modules as jobs hand them back: cut out of one model, measured, and their files written."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from core.artifacts import (
    ONNX,
    PROGRAM,
    RECIPE,
    WEIGHTS,
    ModulePart,
    Recipe,
    StoredNetwork,
    save_network,
    standard_network,
)
from core.composition.union import ModuleCutter, ModuleOptions
from core.datasets import ImageData
from core.evaluation import (
    best_threshold,
    classification_metrics,
    multiply_accumulates,
    one_vs_rest,
    parameter_count,
    predict,
)
from core.export import export_onnx, export_program
from core.masks import ModuleMask
from core.reports import RunnerInput
from core.results import FileRef, MetricValue, ModuleResult
from core.specs import ArtifactFormat, Split
from worker.runners.common import CPU, SPLITS, code_versions, file_ref, safe_stem


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
