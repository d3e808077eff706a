"""Training as a stream of reports: progress, curves, checkpoints; stoppable and resumable at every step."""

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import fx, nn

from core.checkpoints import load_checkpoint, write_checkpoint
from core.datasets import ImageData
from core.devices import deterministic_algorithms
from core.doubts import Doubts
from core.errors import Interrupted
from core.initial_weights import InitialWeights
from core.reports import AnyReport, CheckpointReport, LogReport, MetricReport, Progress
from core.specs import TrainSpec
from core.trainer import Trainer

Reports = Generator[AnyReport, None, None]
_PROGRESS_INTERVAL_S = 0.5
_FREE_S, _SHARE = 2.0, 0.05  # for checkpoints of better epochs, of which fast trainings have many


@dataclass
class _Interval:
    """Due when `seconds` have passed since it was last due."""

    seconds: float
    last: float

    def due(self) -> bool:
        now = time.monotonic()
        if now - self.last < self.seconds:
            return False
        self.last = now
        return True


@dataclass
class _Share:
    """What may be done as long as it takes little of the time: at first a few seconds, then a twentieth."""

    start: float
    spent: float = 0.0

    @property
    def left(self) -> bool:
        return self.spent <= _FREE_S + _SHARE * (time.monotonic() - self.start)

    @contextmanager
    def counted(self) -> Iterator[None]:
        start = time.monotonic()
        yield
        self.spent += time.monotonic() - start


@dataclass(frozen=True)
class _Watch:
    """When to report, to store and to stop."""

    should_stop: Callable[[], bool]
    folder: Path
    attempt: int
    progress: _Interval
    checkpoint: _Interval
    best: _Share

    @classmethod
    def start(cls, should_stop: Callable[[], bool], folder: Path, attempt: int, seconds: float) -> "_Watch":
        """Intervals begin now; `seconds` lie between checkpoints."""
        now = time.monotonic()
        progress, checkpoint = _Interval(_PROGRESS_INTERVAL_S, now), _Interval(seconds, now)
        return cls(should_stop, folder, attempt, progress, checkpoint, _Share(now))


def train(  # noqa: PLR0913 - what to train, then how by keyword
    spec: TrainSpec,
    data: ImageData,
    *,
    device: torch.device,
    checkpoint_dir: Path,
    resume: Path | None,
    should_stop: Callable[[], bool],
    teacher: nn.Module | None = None,
    initial: InitialWeights | None = None,
    attempt: int = 1,
) -> Generator[AnyReport, None, fx.GraphModule]:
    """Train a network as `spec` says, yielding reports.

    On one kind of processor, and on a GPU in deterministic mode as far as its kernels allow, a run that was
    interrupted and resumed ends with the same bits as an undisturbed one. The figures of the epoch under way
    are part of the checkpoint; epochs completed after it was written are reported again, with the same
    figures.

    Where torch.distributed is initialised, its processes train together: each calls this function with the
    same arguments; the first one's reports and checkpoints are the training's, and its `should_stop` counts.

    Args:
        spec: what to train.
        data: the images.
        device: where to compute.
        checkpoint_dir: folder for this training's checkpoints, shared by its attempts.
        resume: a checkpoint of the same training; None starts at the beginning.
        should_stop: asked after every step.
        teacher: the model that `spec.teacher_model_id` names; it is moved to `device`, in eval mode.
        initial: of the model that `spec.initial_model_id` names; a checkpoint has what became of it.
        attempt: part of its checkpoints' names, so that two attempts never write the same file.

    Returns:
        The trained network, on the CPU and in eval mode.

    Raises:
        Interrupted: `should_stop` became true; the checkpoint is the last report.
        TrainingDivergedError: the loss became NaN or infinite.
        ArtifactError: `resume` cannot be read or belongs to another training; or there is a teacher, or
            there are initial weights, where the spec names none, or none where it does.
    """
    with deterministic_algorithms(device, enabled=spec.deterministic):
        trainer = Trainer(spec, data, device, teacher, initial)
        if resume is not None:
            trainer.restore(load_checkpoint(resume, None))
        watch = _Watch.start(should_stop, checkpoint_dir, attempt, spec.checkpoint_interval_s)
        doubts = Doubts(data.validation.labels, len(data.info.class_names))
        with trainer.running():
            yield _progress(trainer, spec)
            if initial is not None and resume is None:
                yield from _beginning(trainer, initial)
            while not trainer.finished:
                for report in _train_epoch(trainer, spec, watch):
                    if isinstance(report, MetricReport):
                        doubts.note(report.metrics)
                    yield report
            if trainer.replay is not None and trainer.replay.refusal is not None:
                yield LogReport(message=_PLAIN.format(reason=trainer.replay.refusal))
        if spec.early_stop_patience is not None:
            yield LogReport(message=_KEPT.format(best=trainer.best.epoch, last=trainer.epoch))
        for message in doubts.messages(trainer.best.kept(trainer.epoch)):
            yield LogReport(level="warning", message=message)
        return trainer.result()


def _beginning(trainer: Trainer, initial: InitialWeights) -> Reports:
    """What was taken over, and how good it is: the curves begin at epoch 0."""
    for message in initial.messages():
        yield LogReport(message=message)
    yield MetricReport(metrics=trainer.validate())


def _train_epoch(trainer: Trainer, spec: TrainSpec, watch: _Watch) -> Reports:
    for images, labels in trainer.remaining_batches():
        trainer.train_on(images, labels)
        yield from _after_step(trainer, spec, watch)
    trainer.tally.require_finite()
    dead = trainer.tally.dead(list(trainer.masks))
    yield MetricReport(metrics=trainer.finish_epoch())
    yield _progress(trainer, spec)
    if trainer.leads and trainer.best.epoch == trainer.epoch and watch.best.left:
        with watch.best.counted():
            stored = _store(trainer, watch)
        yield stored
    for unit in dead:
        yield LogReport(level="warning", message=_DEAD.format(epoch=trainer.epoch, unit=unit))


def _after_step(trainer: Trainer, spec: TrainSpec, watch: _Watch) -> Reports:
    stopping = trainer.agreed(watch.should_stop())
    if trainer.leads and (watch.checkpoint.due() or stopping):
        yield _store(trainer, watch)
    if stopping:
        raise Interrupted(f"stopped after step {trainer.steps_done}")
    if watch.progress.due():
        trainer.tally.require_finite()
        yield _progress(trainer, spec)


def _store(trainer: Trainer, watch: _Watch) -> CheckpointReport:
    trainer.tally.require_finite()
    checkpoint = trainer.snapshot()
    stored = write_checkpoint(watch.folder, checkpoint, watch.attempt)
    best = trainer.step == 0 and trainer.best.epoch == trainer.epoch > 0
    return CheckpointReport(
        path=stored.name,
        sha256=stored.sha256,
        spec_sha256=checkpoint.position.spec_sha256,
        epoch=trainer.epoch,
        step=trainer.steps_done,
        best=best,
        metrics=trainer.tally.means() | ({"validation_accuracy": trainer.best.accuracy} if best else {}),
    )


def _progress(trainer: Trainer, spec: TrainSpec) -> Progress:
    total = spec.epochs * trainer.steps_per_epoch
    epoch = min(trainer.epoch + 1, spec.epochs)
    return Progress(phase="train", step=trainer.steps_done, total=total, epoch=epoch, epochs=spec.epochs)


_KEPT = "early stopping: the weights of epoch {best} are kept, the best on validation data of {last} epochs"
_PLAIN = "steps ran kernel by kernel, as this network's cannot be captured for the GPU: {reason}"
_DEAD = (
    "epoch {epoch}: all masks (for MODA: outputs) of {unit} were zero for every training sample, so its "
    "neurons can no longer learn. A smaller alpha or beta, a larger temperature or another seed may help."
)
