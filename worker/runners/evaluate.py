"""Evaluation: a stored network measured on one split, whole or restricted to some of its classes."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from core.artifacts import Recipe
from core.datasets import ImageData, as_seen_by
from core.errors import DatasetMismatchError
from core.evaluation import classification_metrics, predict
from core.reports import AnyReport, LogReport, Progress, ResultReport, RunnerInput
from core.results import EvaluateResult
from core.specs import EvaluateSpec, Split
from core.wording import listed
from worker.runners.common import (
    CPU,
    check_stop,
    class_indices,
    dataset_of,
    input_network,
    own_data,
)
from worker.runners.modules import detector_metrics


def run(job: RunnerInput, spec: EvaluateSpec, should_stop: Callable[[], bool]) -> Iterator[AnyReport]:
    """Only the samples and logits of the asked classes count: "the full model restricted to its classes".

    Images of classes that the model does not know are left out, whatever is asked, and counted.
    """
    yield Progress(phase="evaluate", step=0, total=1)
    stored = input_network(job)
    recipe = stored.recipe
    given = own_data(job, recipe) if spec.dataset is None else _other_data(job, recipe, spec.dataset)
    data = as_seen_by(given, recipe.model_classes, recipe.mean, recipe.std)
    check_stop(should_stop)
    names = spec.classes or recipe.classes
    columns = class_indices(recipe.classes, names)
    indices = [recipe.class_indices[column] for column in columns]
    without = _without_images(data, spec.split, indices, names)
    if len(names) == 1:
        # Among one class alone every answer is right: what counts is telling it from the others.
        metrics = detector_metrics(stored.network, data, indices[0], [spec.split], columns[0])
    else:
        part = data.split(spec.split).restricted(indices)
        logits = predict(stored.network, part, data.info, CPU)[:, columns]
        metrics = classification_metrics(logits, part.labels, indices, names, spec.split)
    left_out = _left_out(given, spec.split, recipe.model_classes)
    yield from _told(left_out, without)
    yield Progress(phase="evaluate", step=1, total=1)
    yield ResultReport(
        result=EvaluateResult(
            target_id=spec.target_id,
            metrics=metrics,
            dataset=spec.dataset,
            dataset_digest=None if spec.dataset is None else data.digest,
            images_left_out=left_out,
            classes_without_images=without,
        )
    )


def _other_data(job: RunnerInput, recipe: Recipe, name: str) -> ImageData:
    data = dataset_of(job, name)
    if data.info.input_shape != recipe.input_shape:
        raise DatasetMismatchError(
            f"the images of {name} are {list(data.info.input_shape)}, those of the network "
            f"{list(recipe.input_shape)}"
        )
    return data


def _without_images(data: ImageData, split: Split, indices: Sequence[int], names: Sequence[str]) -> list[str]:
    """Those of the asked classes of which the split has no image. Raises DatasetMismatchError: all."""
    # A detector's threshold is chosen by validation data.
    splits: set[Split] = {split, "validation"} if len(names) == 1 else {split}
    there = [set(data.split(one).labels.tolist()) for one in splits]
    without = [
        name for index, name in zip(indices, names, strict=True) if not all(index in some for some in there)
    ]
    if len(without) == len(names):
        raise DatasetMismatchError(
            f"{data.info.name} has no {' and '.join(sorted(splits))} images of {listed(names)}"
        )
    return without


def _left_out(given: ImageData, split: Split, known: Sequence[str]) -> dict[str, int]:
    counts = Counter(given.split(split).labels.tolist())
    return {
        name: counts[label]
        for label, name in enumerate(given.info.class_names)
        if name not in known and counts[label]
    }


def _told(left_out: dict[str, int], without: Sequence[str]) -> Iterator[LogReport]:
    counted = [f"{name} ({count})" for name, count in left_out.items()]
    if counted:
        message = f"left out: images of classes that the model does not know: {listed(counted)}"
        yield LogReport(level="warning", message=message)
    if without:
        yield LogReport(level="warning", message=f"the data has no images of {listed(without)}")
