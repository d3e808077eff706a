"""Extraction: one module per requested class group of a trained model."""

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

from core.approaches import create_approach
from core.artifacts import ModulePart, StoredNetwork
from core.composition.union import ModuleOptions, default_form
from core.datasets import ImageData, batches
from core.masks import ModuleMask
from core.modularity import Estimate, cohesion, coupling
from core.reports import AnyReport, Progress, ResultReport, RunnerInput
from core.results import ExtractResult, MetricValue
from core.specs import DEFAULT_THRESHOLDS, ExtractSpec
from core.surgery.masking import has_generators, recorded_masks
from worker.runners.common import (
    CPU,
    check_stop,
    class_indices,
    code_versions,
    input_data,
    input_network,
    input_statistics,
    require_formats,
)
from worker.runners.modules import ModuleWriter


def run(job: RunnerInput, spec: ExtractSpec, should_stop: Callable[[], bool]) -> Iterator[AnyReport]:
    """Derive each group's mask from stored statistics, cut it out, measure it, write its files."""
    require_formats(spec.formats)
    parent = input_network(job)
    statistics = input_statistics(job)
    approach = create_approach(parent.recipe.approach)
    data = input_data(job, parent.recipe) if spec.evaluate else None
    known = parent.recipe.model_classes
    groups = [class_indices(known, names) for names in spec.classes or [[name] for name in known]]
    writer, form = ModuleWriter(job, parent, data), spec.form or default_form(parent.network)
    threshold = spec.threshold or DEFAULT_THRESHOLDS[form]
    modules, masks = [], {}
    for number, group in enumerate(groups):
        check_stop(should_stop)
        yield Progress(phase="extract", step=number, total=len(groups))
        derivation = approach.derive(statistics, group, threshold)
        folds = form == "static" and spec.fold_amplitudes
        part = ModulePart(
            form=form,
            fold_amplitudes=folds,
            threshold=threshold,
            class_indices=group,
            mask=derivation.mask.to_json(),
            notes=list(derivation.notes),
        )
        options = ModuleOptions(form, statistics.mean_amplitudes(group) if folds else None)
        lineage = {"model_id": spec.model_id, "extract_job_id": job.job_id}
        modules.append(writer.write(derivation.mask, part, options, spec.formats, lineage))
        if len(group) == 1:
            masks[group[0]] = derivation.mask
    yield Progress(phase="measure", step=len(groups), total=len(groups))
    metrics = _set_metrics(parent, data, masks)
    yield ResultReport(
        result=ExtractResult(
            model_id=spec.model_id, modules=modules, metrics=metrics, versions=code_versions()
        )
    )


def _set_metrics(
    parent: StoredNetwork, data: ImageData | None, masks: Mapping[int, ModuleMask]
) -> list[MetricValue]:
    """Cohesion and coupling of the single-class modules."""
    if len(masks) < 2:
        return []
    metrics = [MetricValue(name="coupling", value=coupling(list(masks.values())), split="train")]
    if data is not None and has_generators(parent.network):
        by_class = cohesion(_responses(parent, data), masks)
        alike = Estimate.mean(list(by_class.values()))
        for name, value in (("cohesion", alike.value), ("cohesion_standard_error", alike.error)):
            metrics.append(MetricValue(name=name, value=value, split="train"))
    return metrics


def _responses(parent: StoredNetwork, data: ImageData) -> Iterator[tuple[Mapping[str, Tensor], Tensor]]:
    with torch.no_grad(), recorded_masks(parent.network) as masks:
        for images, labels in batches(data.train, data.info, 512, device=CPU):
            parent.network(images)
            yield dict(masks), labels
