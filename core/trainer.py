"""The state of one training and its single steps; `core.training` decides when to report and to stop."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext

import torch
from torch import Tensor, fx, nn
from torch.nn.parallel import DistributedDataParallel

from core.acceleration import LAYOUT, arithmetic, autocast, fast_layout, pooled_generators
from core.approaches import create_approach
from core.architectures import create
from core.checkpoints import Checkpoint, TrainingPosition
from core.datasets import BatchPlan, ImageData, draw
from core.distillation import distillation_of
from core.errors import ArtifactError
from core.fusion import fused_masks
from core.initial_weights import InitialWeights, start
from core.optimisation import learning_rate, micro_batches, set_learning_rate, sgd
from core.replay import Replay, own_stream
from core.replicas import Replicas, shared_batch_norm
from core.results import MetricValue
from core.seeding import derive_seed, generator, seeded
from core.selection import BestEpoch
from core.specs import TrainSpec, spec_digest
from core.tally import EpochTally, figures_of
from core.training_state import load_state, state_of
from core.validation import validate


class Trainer:
    """One training: SGD with Nesterov momentum and a cosine schedule (`core.optimisation`).

    Every random draw is a function of (seed, epoch, step), so network, momentum, tally, best epoch and
    position are the whole state: a run restored from them continues bit for bit. Under torch.distributed each
    process computes its rows of every batch, and the losses are those of the whole batch (`core.replicas`).
    """

    def __init__(
        self,
        spec: TrainSpec,
        data: ImageData,
        device: torch.device,
        teacher: nn.Module | None = None,
        initial: InitialWeights | None = None,
    ) -> None:
        self._spec, self._data, self._device = spec, data, device
        self._replicas = Replicas.current()
        self._dtype = arithmetic(spec.precision, device)
        self._approach = create_approach(spec.approach)
        self._distillation = distillation_of(spec, teacher, device)
        # On the CPU: the same initial weights whatever device trains.
        with seeded(torch.device("cpu"), spec.seed, "initialise"):
            model = create(spec.architecture, len(data.info.class_names), data.info.input_shape)
            self.network: fx.GraphModule = self._approach.attach(model, len(data.info.class_names))
        start(self.network, spec, initial)
        self.network.to(device, memory_format=LAYOUT).train()  # type: ignore[call-overload]  # torch's stub lacks it
        self._forward = self._replicas.replicated(self.network)
        self._optimizer = sgd(self.network, spec)
        # Several pieces of a batch, or several processes, draw and wait within a step.
        alone = self._replicas.count == spec.gradient_accumulation == 1
        self.replays = alone and device.type == "cuda"
        self.replay: Replay | None = None
        self._train = data.train.first(spec.max_train_samples or len(data.train)).near(device)
        self._validation = data.validation.every(self._replicas.count, self._replicas.rank).near(device)
        self.masks: dict[str, Tensor] = {}
        self.epoch = self.step = 0
        self.tally, self.best = EpochTally(), BestEpoch(spec.early_stop_patience)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Steps are taken inside this block: only there does the network have its hooks.

        A captured step reads what the hooks hold, so it does not outlive the block.
        """
        size = min(self._spec.batch_size, len(self._train))
        self.replay = Replay(self._whole_step, size, self._let_go) if self.replays else None
        with (
            own_stream(self._device),
            self._approach.recorded(self.network) as self.masks,
            pooled_generators(self.network),
            fused_masks(self.network),
            shared_batch_norm(self.network, self._replicas),
            self._distillation.watching(self.network) if self._distillation else nullcontext(),
        ):
            yield
        self.replay = None

    @property
    def steps_per_epoch(self) -> int:
        return self._plan().batch_count(len(self._train))

    @property
    def steps_done(self) -> int:
        """Steps since the start of the training."""
        return self.epoch * self.steps_per_epoch + self.step

    @property
    def finished(self) -> bool:
        """All epochs are done, or `early_stop_patience` epochs brought nothing better."""
        return self.epoch >= self._spec.epochs or self.best.exhausted(self.epoch)

    @property
    def leads(self) -> bool:
        """Whether this process reports and stores; of several it is the first."""
        return self._replicas.rank == 0

    def agreed(self, flag: bool) -> bool:
        """The first process's flag: all must stop at the same step."""
        return self._replicas.agree(flag, self._device)

    def remaining_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of this epoch that were not yet trained on."""
        return draw(self._train, self._data.info, self._plan(), self._device)

    def _plan(self) -> BatchPlan:
        seed = derive_seed(self._spec.seed, "epoch", self.epoch)
        augment = seed if self._spec.augment else None
        return BatchPlan(self._spec.batch_size, seed, augment, start=self.step, drop_single=True)

    def train_on(self, images: Tensor, labels: Tensor) -> None:
        """One step, on a batch of which this process computes its share."""
        done = (self.steps_done + 0.5) / (self._spec.epochs * self.steps_per_epoch)
        set_learning_rate(self._optimizer, learning_rate(self._spec, self.epoch, done))
        with seeded(self._device, self._spec.seed, "step", self.epoch, self.step, *self._own_draws()):
            if self.replay is None:
                self._take_step(images, labels)
            else:
                self._prepare(labels, 0)
                self.tally.add(self.replay(images, labels))
        self.step += 1

    def _take_step(self, images: Tensor, labels: Tensor) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        pieces = micro_batches(len(labels), self._spec.gradient_accumulation)
        for piece in pieces:
            with ExitStack() as unsynchronised:
                if piece is not pieces[-1] and isinstance(self._forward, DistributedDataParallel):
                    unsynchronised.enter_context(self._forward.no_sync())
                self._prepare(labels[piece], piece.start)
                self.tally.add(self._add_gradients(images[piece], labels[piece], len(labels)))
        self._update()

    def _whole_step(self, images: Tensor, labels: Tensor) -> Mapping[str, Tensor]:
        """What is captured: all of a step but its random draws."""
        self._optimizer.zero_grad(set_to_none=True)
        figures = self._add_gradients(images, labels, len(labels))
        self._update()
        return figures

    def _update(self) -> None:
        self._approach.condition_gradients(self.network)
        self._optimizer.step()

    def _let_go(self) -> None:
        """Drop the last step's gradients and masks, and with them its autograd graph."""
        self._optimizer.zero_grad(set_to_none=True)
        self.masks.clear()

    def _own_draws(self) -> tuple[int, ...]:
        return (self._replicas.rank,) if self._replicas.rank else ()

    def _prepare(self, labels: Tensor, first: int) -> None:
        own = self._replicas.share(len(labels))
        random = generator(self._spec.seed, "approach", self.epoch, self.step, first)
        self._approach.prepare(self.network, labels, own, random)

    def _add_gradients(self, images: Tensor, labels: Tensor, batch: int) -> dict[str, Tensor]:
        own = fast_layout(images[self._replicas.share(len(labels))])
        with autocast(self._device, self._dtype):
            logits = self._forward(own)
            lesson = self._distillation.logits(own, logits) if self._distillation else []
        logits, *rows = self._of_all([logits, *self.masks.values(), *lesson], len(labels))
        masks = dict(zip(self.masks, rows, strict=False))
        loss = self._approach.loss(logits, masks, labels)
        if self._distillation:
            loss = self._distillation.loss(loss, rows[len(masks) :], labels)
        # DistributedDataParallel averages over the processes; the loss of the whole batch is to be summed.
        weight = self._replicas.count * len(labels) / batch
        (loss.total * weight).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return figures_of(loss, masks, logits.detach().argmax(dim=1) == labels)

    def _of_all(self, values: Sequence[Tensor], size: int) -> list[Tensor]:
        """This process's rows (n, K) of each -> the whole batch's (size, K), in float32.

        The losses are differences of exponentials, hence float32.
        """
        values = [value.float() for value in values]
        if self._replicas.count == 1:
            return values
        rows = self._replicas.gather(torch.cat(values, dim=1), size)
        return list(torch.split(rows, [value.shape[1] for value in values], dim=1))

    def finish_epoch(self) -> list[MetricValue]:
        """The epoch's figures on training and validation data; moves on to the next epoch.

        Raises:
            TrainingDivergedError: The validation loss is NaN or infinite.
        """
        self.epoch, self.step = self.epoch + 1, 0
        trained = [
            MetricValue(name=name, value=value, split="train", epoch=self.epoch)
            for name, value in self.tally.means().items()
        ]
        validated = self.validate()
        self.tally = EpochTally()
        self.best.consider(self.network, self.epoch, validated[-1].value)
        return trained + validated

    def validate(self) -> list[MetricValue]:
        """Loss and accuracy, in this order, on validation data of the network as it is now.

        Raises:
            TrainingDivergedError: The loss is NaN or infinite.
        """
        found = validate(self.network, self._validation, self._data.info, self._device)
        return [
            MetricValue(name=name, value=value, split="validation", epoch=self.epoch)
            for name, value in zip(("loss", "accuracy"), found, strict=True)
        ]

    def result(self) -> fx.GraphModule:
        """The trained network, on the CPU and in eval mode; with early stopping that of the best epoch."""
        self.best.restore(self.network)
        network = self.network.cpu().eval()
        return network.to(memory_format=torch.contiguous_format)

    def snapshot(self) -> Checkpoint:
        """Copies of everything that changes."""
        tensors = state_of(self.network, self._optimizer, self.tally, self.best)
        return Checkpoint(self._position(), tensors)

    def _position(self) -> TrainingPosition:
        return TrainingPosition(spec_digest(self._spec), self._data.digest, self.epoch, self.step)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from a snapshot of the same training.

        Raises:
            ArtifactError: it belongs to another spec or other data, or lacks tensors.
        """
        position = checkpoint.position
        if position.spec_sha256 != spec_digest(self._spec):
            raise ArtifactError("the checkpoint belongs to a training with another spec")
        if position.dataset_digest != self._data.digest:
            raise ArtifactError("the checkpoint belongs to a training on other data")
        load_state(checkpoint.tensors, self.network, self._optimizer, self.tally, self.best)
        self.epoch, self.step = position.epoch, position.step
