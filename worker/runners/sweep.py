"""A sweep: the sizes and overlaps of a model's modules at several thresholds, from its statistics alone."""

from collections.abc import Callable, Iterator

from core.approaches import create_approach
from core.artifacts import standard_network
from core.composition.union import ModuleCutter, ModuleOptions, default_form
from core.evaluation import multiply_accumulates, parameter_count
from core.masks import ModuleMask
from core.modularity import coupling
from core.reports import AnyReport, Progress, ResultReport, RunnerInput
from core.results import SweepPoint, SweepResult, SweptModule
from core.specs import SweepSpec
from worker.runners.common import check_stop, input_network, input_statistics


def run(job: RunnerInput, spec: SweepSpec, should_stop: Callable[[], bool]) -> Iterator[AnyReport]:
    """Cut each class's module at each threshold and count; a mask met before is not cut again."""
    parent, statistics = input_network(job), input_statistics(job)
    approach, form = create_approach(parent.recipe.approach), spec.form or default_form(parent.network)
    cutter, shape = ModuleCutter(parent.network, parent.recipe.input_shape), parent.recipe.input_shape
    standard = standard_network(parent.recipe)
    whole = parameter_count(standard), multiply_accumulates(standard, shape)
    known: dict[tuple[int, str], tuple[int, int]] = {}
    points = []
    for step, threshold in enumerate(spec.thresholds):
        yield Progress(phase="sweep", step=step, total=len(spec.thresholds))
        masks: list[ModuleMask] = []
        modules = []
        for index, name in enumerate(parent.recipe.model_classes):
            check_stop(should_stop)
            mask = approach.derive(statistics, [index], threshold).mask
            masks.append(mask)
            key = (index, mask.digest())
            if key not in known:
                network = cutter.build(mask, [index], ModuleOptions(form)).network
                known[key] = parameter_count(network), multiply_accumulates(network, shape)
            parameters, flops = known[key]
            modules.append(
                SweptModule(
                    class_name=name,
                    retention_rate=mask.retention_rate(),
                    parameters=parameters,
                    parameter_rate=parameters / whole[0],
                    flops=flops,
                    flops_rate=flops / whole[1],
                )
            )
        alike = coupling(masks) if len(masks) > 1 else None
        points.append(SweepPoint(threshold=threshold, coupling=alike, modules=modules))
    yield ResultReport(result=SweepResult(model_id=spec.model_id, form=form, points=points))
