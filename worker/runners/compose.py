"""Composition: the union of existing modules, cut out of their common model as one classifier."""

from collections.abc import Callable, Iterator
from pathlib import Path

from core.artifacts import ModulePart, read_recipe
from core.composition.union import ModuleOptions, default_form, union
from core.errors import ArtifactError
from core.masks import ModuleMask
from core.reports import AnyReport, Progress, ResultReport, RunnerInput
from core.results import ComposeResult
from core.specs import ComposeSpec
from worker.runners.common import (
    check_stop,
    class_indices,
    code_versions,
    input_data,
    input_network,
    input_statistics,
    require_formats,
)
from worker.runners.modules import ModuleWriter


def run(job: RunnerInput, spec: ComposeSpec, should_stop: Callable[[], bool]) -> Iterator[AnyReport]:
    """Join the members' masks and build the network whose outputs are `spec.classes`, in that order."""
    if spec.composition_id is None or not spec.classes or not spec.module_ids:
        raise ArtifactError("a composition must be resolved to its modules and classes before it is built")
    require_formats(spec.formats)
    yield Progress(phase="compose", step=0, total=2)
    parent = input_network(job)
    members = [_member_mask(job, module_id) for module_id in spec.module_ids]
    mask = union(members)
    indices = class_indices(parent.recipe.model_classes, spec.classes)
    form = spec.form or default_form(parent.network)
    folds = form == "static" and spec.fold_amplitudes
    options = ModuleOptions(form, input_statistics(job).mean_amplitudes(indices) if folds else None)
    part = ModulePart(
        form=form, fold_amplitudes=folds, threshold=None, class_indices=indices, mask=mask.to_json()
    )
    check_stop(should_stop)
    data = input_data(job, parent.recipe) if spec.evaluate else None
    lineage = {"composition_id": spec.composition_id, "module_ids": ",".join(spec.module_ids)}
    lineage |= {"model_id": spec.model_id} if spec.model_id else {}
    module = ModuleWriter(job, parent, data).write(mask, part, options, spec.formats, lineage)
    yield Progress(phase="compose", step=2, total=2)
    result = ComposeResult(composition_id=spec.composition_id, module=module, versions=code_versions())
    yield ResultReport(result=result)


def _member_mask(job: RunnerInput, module_id: str) -> ModuleMask:
    mask = read_recipe(Path(job.files[f"module:{module_id}"])).mask
    if mask is None:
        raise ArtifactError(f"{module_id} has no mask in its recipe")
    return mask
