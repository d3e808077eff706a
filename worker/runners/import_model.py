"""Reading uploaded weights into a network of a named architecture: a model like a trained one.

In this process, unlike images: a header that was checked says where each tensor lies, nothing is decoded or
decompressed, and no more is read than the network has room for.
"""

from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import IO, cast

import torch
from torch import fx

from core.approaches import create_approach
from core.architectures import create
from core.artifacts import PROGRAM, RECIPE, STATISTICS, WEIGHTS, Recipe, save_network, save_tensors
from core.datasets import ImageData, StopRequest, as_seen_by, batches, stoppable
from core.errors import ExportUnsupportedError
from core.evaluation import multiply_accumulates, parameter_count
from core.export import export_program
from core.foreign_weights import fill
from core.importing.parts import PartsFile, verify
from core.reports import AnyReport, LogReport, Progress, ResultReport, RunnerInput
from core.results import ImportModelResult
from core.specs import ImportModelSpec, StandardSpec
from core.statistics import ClassStatistics
from core.units import find_units
from core.weights_file import WeightsFile
from worker.runners.common import (
    CPU,
    check_stop,
    code_versions,
    dataset_of,
    file_ref,
    part_paths,
    safe_stem,
)

_BATCH = 256


def run(job: RunnerInput, spec: ImportModelSpec, should_stop: Callable[[], bool]) -> Iterator[AnyReport]:
    """Verify the file, fill the network, write its files. What does not fit is named and nothing is made."""

    def going_on() -> None:
        check_stop(should_stop)

    yield Progress(phase="verify", step=0, total=5)
    parts = part_paths(job)
    verify(parts, spec.size, spec.sha256, lambda _: going_on())
    weights = WeightsFile(cast(IO[bytes], BufferedReader(PartsFile(parts))), spec.size)
    yield Progress(phase="build", step=1, total=5)
    shape = (spec.input_shape[0], spec.input_shape[1], spec.input_shape[2])
    with torch.random.fork_rng(devices=[]):
        # Not on the meta device: buffers that no file holds are computed as the network is built.
        plain = create(spec.architecture, len(spec.class_names), shape)
    yield Progress(phase="fill", step=2, total=5)
    report = fill(plain, weights, going_on)
    network = create_approach(StandardSpec()).attach(plain, len(spec.class_names)).eval()
    data = None if spec.dataset is None else dataset_of(job, spec.dataset)
    statistics = None
    if data is not None:
        yield Progress(phase="statistics", step=3, total=5)
        statistics = _statistics(
            network, as_seen_by(data, spec.class_names, spec.mean, spec.std), should_stop
        )
    yield Progress(phase="save", step=4, total=5)
    recipe = save_network(network, _recipe(job, spec, shape, data), _folder(job))
    roles = {"weights": WEIGHTS, "recipe": RECIPE}
    if statistics is not None:
        save_tensors(statistics.to_tensors(), _folder(job) / STATISTICS)
        roles["statistics"] = STATISTICS
    try:
        export_program(network, recipe, _folder(job) / PROGRAM)
        roles["program"] = PROGRAM
    except ExportUnsupportedError as error:
        report = report.model_copy(update={"notes": [*report.notes, f"no program: {error}"]})
    for note in report.notes:
        yield LogReport(message=note)
    stem = safe_stem([spec.architecture])
    yield ResultReport(
        result=ImportModelResult(
            architecture=spec.architecture,
            dataset=recipe.dataset,
            dataset_digest=recipe.dataset_digest,
            classes=spec.class_names,
            input_shape=spec.input_shape,
            parameters=parameter_count(network),
            flops=multiply_accumulates(network, shape),
            units={unit.name: unit.width for unit in find_units(network)},
            versions=recipe.versions,
            report=report,
            files=[
                file_ref(role, _folder(job), name, Path(job.staging), stem) for role, name in roles.items()
            ],
        )
    )


def _folder(job: RunnerInput) -> Path:
    return Path(job.staging) / "model"


def _statistics(network: fx.GraphModule, data: ImageData, should_stop: StopRequest) -> ClassStatistics:
    """What its neurons do for each class: modules are cut by it, as from a network trained here."""
    drawn = stoppable(batches(data.train, data.info, _BATCH, device=CPU), should_stop)
    return create_approach(StandardSpec()).statistics(network, drawn, len(data.info.class_names))


def _recipe(
    job: RunnerInput, spec: ImportModelSpec, shape: tuple[int, int, int], data: ImageData | None
) -> Recipe:
    return Recipe(
        architecture=spec.architecture,
        model_classes=spec.class_names,
        classes=spec.class_names,
        input_shape=shape,
        mean=spec.mean,
        std=spec.std,
        approach=StandardSpec(),
        dataset=spec.dataset,
        dataset_digest=None if data is None else data.digest,
        seed=None,
        train_samples=None,
        versions=code_versions(),
        lineage={"import_job_id": job.job_id, "source_sha256": spec.sha256},
    )
