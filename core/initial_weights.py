"""Where a training starts that does not start at random: the weights of a stored network, by name and shape.

Mask generators always start fresh. The head is taken over, each output by its class's name, where both
networks know the same classes; else it starts fresh too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.approaches import create_approach
from core.architectures import create
from core.artifacts import StoredNetwork
from core.datasets import ImageData
from core.errors import ArtifactError, InitialModelMismatchError
from core.results import InitialReport
from core.specs import TrainSpec
from core.surgery.sites import GENERATORS
from core.wording import listed


@dataclass(frozen=True, eq=False)
class InitialWeights:
    """Tensors for the network in training, by their names there, and what is told of them."""

    tensors: dict[str, Tensor]
    report: InitialReport

    def messages(self) -> list[str]:
        """What the log of the training says."""
        report = self.report
        said = [f"started from {report.taken} tensors of {report.model_id}"]
        if report.head == "new":
            said.append("the head starts fresh: the classes are not the initial model's")
        if report.new:
            said.append(
                f"fresh, because the initial model has none of this name and shape: {listed(report.new)}"
            )
        if report.left:
            said.append(
                f"{report.left} tensors of {report.model_id} were not taken, mask generators among them"
            )
        if not report.same_normalisation:
            said.append(f"{report.model_id} was trained on images of another normalisation than these")
        return said


def start(network: nn.Module, spec: TrainSpec, initial: InitialWeights | None) -> None:
    """Copy the weights, if any, into a network in training; what it has beside them stays as it is.

    Raises:
        ArtifactError: the spec names a model and there are no weights, or the other way round: checkpoints
            are told apart by their specs.
    """
    if (spec.initial_model_id is None) != (initial is None):
        raise ArtifactError("a training has initial weights exactly when its spec has an initial_model_id")
    own = network.state_dict()
    for name, value in ({} if initial is None else initial.tensors).items():
        own[name].copy_(value)


def lineage_of(spec: TrainSpec, initial: InitialWeights | None) -> dict[str, str]:
    """What a recipe's lineage says of the models that a training learned from."""
    told = {} if spec.teacher_model_id is None else {"teacher_model_id": spec.teacher_model_id}
    if initial is not None:
        told["initial_model_id"] = initial.report.model_id
        told["initial_weights_sha256"] = initial.report.weights_sha256
    return told


def initial_of(stored: StoredNetwork, spec: TrainSpec, data: ImageData) -> InitialWeights:
    """What a stored network gives to the training of `spec` on `data`.

    Raises:
        InitialModelMismatchError: it is of another architecture, or has nothing of the right shape.
    """
    recipe, names, shape = stored.recipe, list(data.info.class_names), data.info.input_shape
    if recipe.architecture != spec.architecture:
        raise InitialModelMismatchError(
            f"the initial model is a {recipe.architecture}; this is the training of a {spec.architecture}"
        )
    with torch.random.fork_rng(devices=[]):
        plain = create(spec.architecture, len(names), shape)
        head = {} if recipe.classes == names else _class_axes(plain, spec.architecture, len(names), shape)
        wanted = _own(create_approach(spec.approach).attach(plain, len(names)))
    tensors = {name: value for name, value in _own(stored.network).items() if name in wanted}
    tensors = _with_head(tensors, head, recipe.classes, names)
    taken = {name: value for name, value in tensors.items() if value.shape == wanted[name].shape}
    if not taken:
        raise InitialModelMismatchError("the initial model has no tensor of the network's names and shapes")
    report = InitialReport(
        model_id=str(spec.initial_model_id),
        weights_sha256=recipe.weights_sha256,
        taken=len(taken),
        head="new" if any(name not in taken for name in head) else "taken",
        new=[name for name in wanted if name not in taken],
        left=len(stored.network.state_dict()) - len(taken),
        same_normalisation=(recipe.mean, recipe.std) == (list(data.info.mean), list(data.info.std)),
    )
    return InitialWeights(taken, report)


def _own(network: nn.Module) -> dict[str, Tensor]:
    """The tensors of the network itself: without mask generators."""
    return {k: v for k, v in network.state_dict().items() if not k.startswith(f"{GENERATORS}.")}


def _class_axes(
    network: nn.Module, architecture: str, classes: int, shape: tuple[int, int, int]
) -> dict[str, int]:
    """The tensors whose shape depends on the number of classes, and the axis along which it does."""
    larger = create(architecture, classes + 1, shape).state_dict()
    return {
        name: axis
        for name, value in network.state_dict().items()
        for axis, (own, other) in enumerate(zip(value.shape, larger[name].shape, strict=True))
        if own != other
    }


def _with_head(
    tensors: dict[str, Tensor], head: dict[str, int], known: Sequence[str], names: Sequence[str]
) -> dict[str, Tensor]:
    """The tensors, with outputs in the order of `names`; without the head where these are other classes."""
    if sorted(known) != sorted(names):
        return {name: value for name, value in tensors.items() if name not in head}
    order = torch.tensor([known.index(name) for name in names])
    ordered = {
        name: tensors[name].index_select(axis, order) for name, axis in head.items() if name in tensors
    }
    return tensors | ordered
