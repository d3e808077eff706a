"""Evaluation: a stored network measured on one split, whole or restricted to some of its classes."""

from collections.abc import Callable, Iterator

from core.evaluation import classification_metrics, predict
from core.results import AnyReport, EvaluateResult, Progress, ResultReport, RunnerInput
from core.specs import EvaluateSpec
from worker.runners.common import CPU, check_stop, class_indices, detector_metrics, input_data, input_network


def run(job: RunnerInput, spec: EvaluateSpec, should_stop: Callable[[], bool]) -> Iterator[AnyReport]:
    """Only the samples and logits of the asked classes count: "the full model restricted to its classes"."""
    yield Progress(phase="evaluate", step=0, total=1)
    stored = input_network(job)
    recipe = stored.recipe
    data = input_data(job, recipe)
    check_stop(should_stop)
    names = spec.classes or recipe.classes
    columns = class_indices(recipe.classes, names)
    indices = [recipe.class_indices[column] for column in columns]
    if len(names) == 1:
        # Among one class alone every answer is right: what counts is telling it from the others.
        metrics = detector_metrics(stored.network, data, indices[0], [spec.split], columns[0])
    else:
        part = data.split(spec.split).restricted(indices)
        logits = predict(stored.network, part, data.info, CPU)[:, columns]
        metrics = classification_metrics(logits, part.labels, indices, names, spec.split)
    yield Progress(phase="evaluate", step=1, total=1)
    yield ResultReport(result=EvaluateResult(target_id=spec.target_id, metrics=metrics))
