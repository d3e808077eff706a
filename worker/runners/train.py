"""Training: a network from scratch, its class statistics, its figures on held-out data, its files."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from torch import Tensor, fx

from core.approaches import create_approach
from core.artifacts import PROGRAM, RECIPE, STATISTICS, WEIGHTS, Recipe, save_network, save_tensors
from core.datasets import ImageData, batches, load_dataset
from core.devices import resolve_device
from core.evaluation import classification_metrics, multiply_accumulates, parameter_count, predict
from core.export import export_program
from core.results import AnyReport, MetricValue, Progress, ResultReport, RunnerInput, TrainResult
from core.specs import TrainSpec
from core.statistics import ClassStatistics
from core.training import train
from core.units import find_units
from worker.runners.common import CPU, SPLITS, check_stop, code_versions, file_ref


def run(job: RunnerInput, spec: TrainSpec, should_stop: Callable[[], bool]) -> Iterator[AnyReport]:
    """Train (resuming where a checkpoint is given), then collect statistics and measure once."""
    yield Progress(phase="load", step=0, total=1)
    data = load_dataset(spec.dataset, None if job.data_root is None else Path(job.data_root))
    if spec.max_train_samples is not None:
        data = replace(data, train=data.train.first(spec.max_train_samples))
    checkpoints = Path(job.checkpoints)
    network = yield from train(
        spec,
        data,
        device=resolve_device(spec.device),
        checkpoint_dir=checkpoints,
        resume=None if job.resume is None else checkpoints / job.resume,
        should_stop=should_stop,
    )
    yield Progress(phase="statistics", step=0, total=1)
    check_stop(should_stop)
    approach = create_approach(spec.approach)
    statistics = approach.statistics(network, _statistics_batches(spec, data), len(data.info.class_names))
    yield Progress(phase="evaluate", step=0, total=1)
    check_stop(should_stop)
    metrics = _metrics(network, data)
    yield Progress(phase="save", step=0, total=1)
    yield ResultReport(result=_save(job, spec, data, network, statistics, metrics))


def _statistics_batches(spec: TrainSpec, data: ImageData) -> Iterator[tuple[Tensor, Tensor]]:
    # The published code counts on augmented training images.
    seed = spec.seed if spec.augment else None
    return batches(data.train, data.info, spec.batch_size, device=CPU, augment_seed=seed)


def _metrics(network: fx.GraphModule, data: ImageData) -> list[MetricValue]:
    names = data.info.class_names
    metrics: list[MetricValue] = []
    for split in SPLITS:
        part = data.split(split)
        logits = predict(network, part, data.info, CPU)
        metrics += classification_metrics(logits, part.labels, range(len(names)), names, split)
    return metrics


def _save(
    job: RunnerInput,
    spec: TrainSpec,
    data: ImageData,
    network: fx.GraphModule,
    statistics: ClassStatistics,
    metrics: list[MetricValue],
) -> TrainResult:
    staging, names = Path(job.staging), list(data.info.class_names)
    folder, stem = staging / "model", f"{spec.architecture}-{spec.dataset}-{spec.approach.name}"
    recipe = Recipe(
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
        train_samples=len(data.train),
        versions=code_versions(),
        lineage={"train_job_id": job.job_id},
    )
    recipe = save_network(network, recipe, folder)
    save_tensors(statistics.to_tensors(), folder / STATISTICS)
    export_program(network, recipe, folder / PROGRAM)
    return TrainResult(
        architecture=spec.architecture,
        approach=spec.approach.name,
        recipe=spec.approach.recipe,
        dataset=spec.dataset,
        dataset_digest=data.digest,
        classes=names,
        input_shape=list(data.info.input_shape),
        parameters=parameter_count(network),
        flops=multiply_accumulates(network, data.info.input_shape),
        seed=spec.seed,
        units={unit.name: unit.width for unit in find_units(network)},
        versions=recipe.versions,
        metrics=metrics,
        files=[file_ref(role, folder, name, staging, stem) for role, name in _FILES],
    )


_FILES = (("weights", WEIGHTS), ("recipe", RECIPE), ("statistics", STATISTICS), ("program", PROGRAM))
