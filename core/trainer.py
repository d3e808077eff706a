"""The state of one training and its single steps; `core.training` decides when to report and to stop."""

import math
from collections.abc import Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from core.approaches import LossTerms, create_approach
from core.architectures import create
from core.checkpoints import Checkpoint, TrainingPosition
from core.datasets import BatchPlan, ImageData, draw
from core.errors import ArtifactError, TrainingDivergedError
from core.results import MetricValue
from core.seeding import derive_seed, seeded
from core.specs import TrainSpec, spec_digest
from core.statistics import evaluating
from core.surgery.sites import GENERATORS

_EVALUATION_BATCH = 512
_NETWORK, _MOMENTUM, _TALLY = "network.", "momentum.", "tally."
_DIVERGED = "the {split} loss became NaN or infinite; a smaller learning_rate may help"


class EpochTally:
    """Sums over the samples of one epoch, kept on the device so that no step waits for it."""

    def __init__(self, sums: Mapping[str, Tensor] | None = None) -> None:
        self.sums: dict[str, Tensor] = dict(sums or {})

    def add(self, loss: LossTerms, masks: Mapping[str, Tensor], right: Tensor) -> None:
        """Add a batch; `right` (N,) says which samples were classified correctly."""
        count = len(right)
        self._add("samples", torch.full_like(loss.total, count, dtype=torch.float64))
        self._add("loss", loss.total.detach().double() * count)
        self._add("accuracy", right.sum().double())
        for name, value in loss.terms.items():
            self._add(f"loss_{name}", value.detach().double() * count)
        if masks:
            on = torch.stack([(mask > 0).double().mean() for mask in masks.values()])
            self._add("density", on * count)  # (units,)

    def _add(self, name: str, value: Tensor) -> None:
        self.sums[name] = self.sums[name] + value if name in self.sums else value

    def require_finite(self) -> None:
        """Raises TrainingDivergedError; this waits for the device."""
        if "loss" in self.sums and not self.sums["loss"].isfinite():
            raise TrainingDivergedError(_DIVERGED.format(split="training"))

    def means(self) -> dict[str, float]:
        """Each figure per sample; `mask_density` is the mean over units of the share on (published log)."""
        means = {name: value / self.sums["samples"] for name, value in self.sums.items() if name != "samples"}
        density = means.pop("density", None)
        # Sorted: a restored tally lists its sums in another order than the one that was stored.
        figures = {name: means[name].item() for name in sorted(means)}
        return figures if density is None else figures | {"mask_density": density.mean().item()}

    def dead(self, units: list[str]) -> list[str]:
        """Units none of whose neurons was on for any sample of the epoch."""
        density = self.sums.get("density")
        return [] if density is None else [units[i] for i in (density == 0).nonzero().flatten().tolist()]


class Trainer:
    """One training: SGD with Nesterov momentum, cosine schedule per epoch (MwT's and NeMo's recipe).

    Every random draw is a function of (seed, epoch, step), so network, momentum, tally and position are the
    whole state: a run restored from them continues bit for bit.
    """

    def __init__(self, spec: TrainSpec, data: ImageData, device: torch.device) -> None:
        self._spec, self._data, self._device = spec, data, device
        self._approach = create_approach(spec.approach)
        # On the CPU: the same initial weights whatever device trains.
        with seeded(torch.device("cpu"), spec.seed, "initialise"):
            model = create(spec.architecture, len(data.info.class_names), data.info.input_shape)
            self.network: fx.GraphModule = self._approach.attach(model)
        self.network.to(device).train()
        self._optimizer = _optimizer(self.network, spec)
        self._train = data.train.first(spec.max_train_samples or len(data.train)).to(device)
        self._validation = data.validation.to(device)
        self.epoch = self.step = 0
        self.tally = EpochTally()

    @property
    def steps_per_epoch(self) -> int:
        return self._plan().batch_count(len(self._train))

    @property
    def steps_done(self) -> int:
        """Steps since the start of the training."""
        return self.epoch * self.steps_per_epoch + self.step

    def remaining_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of this epoch that were not yet trained on."""
        return draw(self._train, self._data.info, self._plan())

    def _plan(self) -> BatchPlan:
        seed = derive_seed(self._spec.seed, "epoch", self.epoch)
        augment = seed if self._spec.augment else None
        return BatchPlan(self._spec.batch_size, seed, augment, start=self.step, drop_single=True)

    def train_on(self, images: Tensor, labels: Tensor, masks: Mapping[str, Tensor]) -> None:
        """One step. `masks` is refilled by the network's forward pass (`recorded_masks`)."""
        self._set_learning_rate()
        self._optimizer.zero_grad(set_to_none=True)
        with seeded(self._device, self._spec.seed, "step", self.epoch, self.step):
            logits = self.network(images)
            loss = self._approach.loss(logits, masks, labels)
            loss.total.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self._optimizer.step()
        self.tally.add(loss, masks, logits.detach().argmax(dim=1) == labels)
        self.step += 1

    def _set_learning_rate(self) -> None:
        # The closed form of CosineAnnealingLR with T_max = epochs; torch's own recursion depends on its past.
        factor = (1 + math.cos(math.pi * self.epoch / self._spec.epochs)) / 2
        for group in self._optimizer.param_groups:
            group["lr"] = self._spec.learning_rate * factor

    def finish_epoch(self) -> list[MetricValue]:
        """The epoch's figures on training and validation data; moves on to the next epoch.

        Raises:
            TrainingDivergedError: The validation loss is NaN or infinite.
        """
        self.epoch, self.step = self.epoch + 1, 0
        train = [
            MetricValue(name=name, value=value, split="train", epoch=self.epoch)
            for name, value in self.tally.means().items()
        ]
        self.tally = EpochTally()
        return train + self._validate()

    def _validate(self) -> list[MetricValue]:
        loss, right = 0.0, 0
        with evaluating(self.network):
            for images, labels in draw(self._validation, self._data.info, BatchPlan(_EVALUATION_BATCH)):
                logits = self.network(images)
                loss += F.cross_entropy(logits, labels, reduction="sum").item()
                right += int((logits.argmax(dim=1) == labels).sum())
        if not math.isfinite(loss):  # the weights may overflow while batch normalisation keeps training tame
            raise TrainingDivergedError(_DIVERGED.format(split="validation"))
        count = len(self._validation)
        figures = {"loss": loss / count, "accuracy": right / count}
        return [
            MetricValue(name=name, value=value, split="validation", epoch=self.epoch)
            for name, value in figures.items()
        ]

    def snapshot(self) -> Checkpoint:
        """Copies of everything that changes."""
        tensors = {f"{_NETWORK}{name}": value for name, value in self.network.state_dict().items()}
        for name, parameter in self.network.named_parameters():
            momentum = self._optimizer.state[parameter].get("momentum_buffer")
            if momentum is not None:
                tensors[f"{_MOMENTUM}{name}"] = momentum
        tensors |= {f"{_TALLY}{name}": value for name, value in self.tally.sums.items()}
        # clone: safetensors refuses tensors that share memory, which layers under two names do.
        copies = {name: value.detach().cpu().clone() for name, value in tensors.items()}
        return Checkpoint(self._position(), copies)

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
        try:
            self.network.load_state_dict(_under(_NETWORK, checkpoint.tensors))
        except RuntimeError as error:
            raise ArtifactError(f"the checkpoint does not fit the network: {error}") from error
        parameters = dict(self.network.named_parameters())
        for name, momentum in _under(_MOMENTUM, checkpoint.tensors).items():
            self._optimizer.state[parameters[name]]["momentum_buffer"] = momentum.to(self._device)
        sums = _under(_TALLY, checkpoint.tensors)
        self.tally = EpochTally({name: value.to(self._device) for name, value in sums.items()})
        self.epoch, self.step = position.epoch, position.step


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _optimizer(network: fx.GraphModule, spec: TrainSpec) -> torch.optim.SGD:
    """Two parameter groups with one learning rate, as published: the network's own and the generators'."""
    own: list[nn.Parameter] = []
    generators: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        (generators if name.startswith(f"{GENERATORS}.") else own).append(parameter)
    groups = [{"params": group} for group in (own, generators) if group]
    return torch.optim.SGD(
        groups,
        lr=spec.learning_rate,
        momentum=spec.momentum,
        nesterov=spec.momentum > 0,
        weight_decay=spec.weight_decay,
    )
