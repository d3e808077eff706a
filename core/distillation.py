"""Knowledge distillation: a frozen network that was trained before teaches the one in training."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from core.acceleration import LAYOUT
from core.approaches import LossTerms
from core.architectures.distillation import (
    CLASS_HEAD,
    DISTILLATION_HEAD,
    has_distillation_head,
    recorded_heads,
)
from core.artifacts import StoredNetwork
from core.datasets import ImageData
from core.errors import ArtifactError
from core.specs import TrainSpec


def kl_divergence(teacher: Tensor, student: Tensor) -> Tensor:
    """KL(softmax(teacher) || softmax(student)) of logits (N, C), at temperature 1, averaged over samples."""
    return F.kl_div(
        F.log_softmax(student, dim=1), F.log_softmax(teacher, dim=1), reduction="batchmean", log_target=True
    )


class Distillation:
    """Task loss (1 - a) * CE(class head, labels) + a * mean over the heads of KL(teacher || head).

    Two heads (DeiT) and a = 0.5 make it NeMo's loss for DeiT. A network with one head learns by its logits.
    """

    def __init__(self, teacher: nn.Module, weight: float, device: torch.device) -> None:
        teacher.to(device, memory_format=LAYOUT).eval()  # type: ignore[call-overload]  # torch's stub lacks it
        self._teacher, self._weight = teacher, weight
        self._heads: Mapping[str, Tensor] = {}

    @contextmanager
    def watching(self, network: fx.GraphModule) -> Iterator[None]:
        """Inside the block `logits` knows what each head of the student answered, where it has two."""
        if not has_distillation_head(network):
            yield
            return
        with recorded_heads(network) as self._heads:
            yield

    def logits(self, images: Tensor, student: Tensor) -> list[Tensor]:
        """The teacher's logits of the images just seen, then each of the student's heads' (class head first).

        Args:
            images: (N, C, H, W), normalised and augmented.
            student: (N, classes), the network's output; all there is of a network with one head.
        """
        with torch.no_grad():
            taught = self._teacher(images)
        two = [self._heads[name] for name in (CLASS_HEAD, DISTILLATION_HEAD) if self._heads]
        return [taught, *(two or [student])]

    def loss(self, plain: LossTerms, logits: Sequence[Tensor], labels: Tensor) -> LossTerms:
        """An approach's objective with its task loss, whose weight is 1 in each of them, replaced.

        Args:
            plain: what the approach computed.
            logits: what `logits` returned, of the whole batch.
            labels: (N,).
        """
        teacher, *heads = logits
        task = F.cross_entropy(heads[0], labels)
        distance = torch.stack([kl_divergence(teacher, head) for head in heads]).mean()
        mixed = (1 - self._weight) * task + self._weight * distance
        total = plain.total - plain.terms["task"] + mixed
        return LossTerms(total, plain.terms | {"task": task, "distillation": distance})


def distillation_of(spec: TrainSpec, teacher: nn.Module | None, device: torch.device) -> Distillation | None:
    """What `spec` asks for; moves the teacher to the device, in eval mode.

    Raises:
        ArtifactError: the spec names a teacher and there is none, or the other way round: checkpoints are
            told apart by their specs.
    """
    if (spec.teacher_model_id is None) != (teacher is None):
        raise ArtifactError("a training has a teacher exactly when its spec has a teacher_model_id")
    return None if teacher is None else Distillation(teacher, spec.distillation_weight, device)


def teacher_of(stored: StoredNetwork, data: ImageData) -> nn.Module:
    """A stored network as the teacher of a training on `data`.

    Raises:
        ArtifactError: it was trained on other data, or knows other classes.
    """
    recipe = stored.recipe
    if recipe.dataset_digest != data.digest:
        raise ArtifactError(
            f"the teacher's data, {recipe.dataset}, is not this training's: the digests are not the same"
        )
    if recipe.classes != list(data.info.class_names):
        raise ArtifactError("the teacher must know the dataset's classes, all of them and in the same order")
    return stored.network
