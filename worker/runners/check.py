"""Whether a training can begin: its network is built for the images and traced, and its units are found."""

from collections.abc import Callable, Iterator
from pathlib import Path

from core.approaches import create_approach
from core.architectures import create
from core.datasets import read_description
from core.reports import AnyReport, CheckedReport, Progress, RunnerInput
from core.specs import DATASETS, TrainSpec
from worker.runners.common import check_stop


def run(job: RunnerInput, spec: TrainSpec, should_stop: Callable[[], bool]) -> Iterator[AnyReport]:
    """As a training would, without its data. What a training would refuse is raised as it would be there."""
    yield Progress(phase="check", step=0, total=1)
    uploaded = job.files.get("data:dataset")
    info = DATASETS[spec.dataset] if uploaded is None else read_description(Path(uploaded))[0]
    network = create(spec.architecture, len(info.class_names), info.input_shape)
    check_stop(should_stop)
    create_approach(spec.approach).attach(network, len(info.class_names))
    yield CheckedReport()
