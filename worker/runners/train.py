"""Training: a network from scratch, its class statistics, its figures on held-out data, its files."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import fx

from core.approaches import create_approach
from core.artifacts import PROGRAM, RECIPE, STATISTICS, WEIGHTS, save_network, save_tensors, training_recipe
from core.datasets import ImageData, StopRequest, batches, stoppable
from core.devices import deterministic_algorithms, resolve_device
from core.distillation import teacher_of
from core.errors import AnswersNotFiniteError
from core.evaluation import classification_metrics, multiply_accumulates, parameter_count, predict
from core.export import export_program
from core.initial_weights import InitialWeights, initial_of, lineage_of
from core.reports import AnyReport, LogReport, Progress, ResultReport, RunnerInput
from core.results import MetricValue, TrainResult
from core.specs import TrainSpec
from core.statistics import ClassStatistics
from core.training import train
from worker.runners.common import (
    SPLITS,
    code_versions,
    dataset_of,
    file_ref,
    initial_network,
    input_network,
    safe_stem,
)


def run(job: RunnerInput, spec: TrainSpec, should_stop: StopRequest) -> Iterator[AnyReport]:
    """Train (resuming where a checkpoint is given), then collect statistics and measure once."""
    yield Progress(phase="load", step=0, total=1)
    data = dataset_of(job, spec.dataset)
    if spec.max_train_samples is not None:
        data = replace(data, train=data.train.first(spec.max_train_samples))
    device, checkpoints = resolve_device(spec.device), Path(job.checkpoints)
    initial = None if spec.initial_model_id is None else initial_of(initial_network(job), spec, data)
    network = yield from train(
        spec,
        data,
        device=device,
        checkpoint_dir=checkpoints,
        resume=None if job.resume is None else checkpoints / job.resume,
        should_stop=should_stop,
        teacher=None if spec.teacher_model_id is None else teacher_of(input_network(job), data),
        initial=initial,
        attempt=job.attempt,
    )
    yield Progress(phase="statistics", step=0, total=1)
    network.to(device)
    with deterministic_algorithms(device, enabled=spec.deterministic):
        statistics = _statistics(spec, data, network, device, should_stop)
        network = create_approach(spec.approach).finish(network)
        yield Progress(phase="evaluate", step=0, total=1)
        metrics = yield from _metrics(network, data, device, should_stop)
    yield Progress(phase="save", step=0, total=1)
    made = _Made(network.cpu(), statistics, metrics)
    yield ResultReport(result=_save(job, spec, data, made, initial))


def _statistics(
    spec: TrainSpec, data: ImageData, network: fx.GraphModule, device: torch.device, should_stop: StopRequest
) -> ClassStatistics:
    # The published code counts on augmented training images.
    seed = spec.seed if spec.augment else None
    drawn = batches(data.train, data.info, spec.batch_size, device=device, augment_seed=seed)
    approach, classes = create_approach(spec.approach), len(data.info.class_names)
    return approach.statistics(network, stoppable(drawn, should_stop), classes)


def _metrics(
    network: fx.GraphModule, data: ImageData, device: torch.device, should_stop: StopRequest
) -> Generator[AnyReport, None, list[MetricValue]]:
    """The figures of both splits, without those of one to which an answer is no number.

    The weights are there by now, and may be good for every other image: one must not cost the training.
    Raises AnswersNotFiniteError where nothing can be told of either.
    """
    names = data.info.class_names
    metrics: list[MetricValue] = []
    refusal: AnswersNotFiniteError | None = None
    for split in SPLITS:
        part = data.split(split)
        try:
            logits = predict(network, part, data.info, device, should_stop)
        except AnswersNotFiniteError as error:
            refusal = error
            yield LogReport(level="warning", message=f"no figures on {split} data: {error}")
        else:
            metrics += classification_metrics(logits, part.labels, range(len(names)), names, split)
    if refusal is not None and not metrics:
        raise refusal
    return metrics


@dataclass(frozen=True)
class _Made:
    """What a training leaves."""

    network: fx.GraphModule
    statistics: ClassStatistics
    metrics: list[MetricValue]


def _save(
    job: RunnerInput, spec: TrainSpec, data: ImageData, made: _Made, initial: InitialWeights | None
) -> TrainResult:
    staging, names = Path(job.staging), list(data.info.class_names)
    folder, stem = staging / "model", safe_stem([spec.architecture, spec.dataset, spec.approach.name])
    lineage = {"train_job_id": job.job_id, **lineage_of(spec, initial)}
    recipe = training_recipe(spec, data, code_versions(), lineage)
    recipe = save_network(made.network, recipe, folder)
    save_tensors(made.statistics.to_tensors(), folder / STATISTICS)
    export_program(made.network, recipe, folder / PROGRAM)
    return TrainResult(
        architecture=spec.architecture,
        approach=spec.approach.name,
        recipe=spec.approach.recipe,
        dataset=spec.dataset,
        dataset_digest=data.digest,
        classes=names,
        input_shape=list(data.info.input_shape),
        parameters=parameter_count(made.network),
        flops=multiply_accumulates(made.network, data.info.input_shape),
        seed=spec.seed,
        units={unit: firing.shape[1] for unit, firing in made.statistics.firing.items()},
        versions=recipe.versions,
        metrics=made.metrics,
        initial=initial and initial.report,
        files=[file_ref(role, folder, name, staging, stem) for role, name in _FILES],
    )


_FILES = (("weights", WEIGHTS), ("recipe", RECIPE), ("statistics", STATISTICS), ("program", PROGRAM))
