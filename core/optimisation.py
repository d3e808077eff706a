"""How a training steps: its optimizer and rate, and how a step's batch is cut into micro-batches."""

import math

import torch
from torch import Tensor, fx, nn

from core.specs import TrainSpec
from core.surgery.sites import GENERATORS


def micro_batches(size: int, count: int) -> list[slice]:
    """`size` samples in at most `count` pieces; at least two samples each, for batch normalisation."""
    count = min(count, max(1, size // 2))
    return [slice(size * k // count, size * (k + 1) // count) for k in range(count)]


def sgd(network: fx.GraphModule, spec: TrainSpec) -> torch.optim.SGD:
    """Two parameter groups with one learning rate, as published: the network's own and the generators'."""
    own: list[nn.Parameter] = []
    generators: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        (generators if name.startswith(f"{GENERATORS}.") else own).append(parameter)
    groups = [{"params": group} for group in (own, generators) if group]
    device = own[0].device
    rate: float | Tensor = spec.learning_rate
    if device.type == "cuda":  # on the device it can change without capturing the step anew
        rate = torch.tensor(rate, device=device)
    return torch.optim.SGD(
        groups,
        lr=rate,
        momentum=spec.momentum,
        nesterov=spec.momentum > 0,
        weight_decay=spec.weight_decay,
        fused=True,
    )


def learning_rate(spec: TrainSpec, epoch: int, done: float) -> float:
    """The rate of a step: half a cosine from `spec.learning_rate` down to 0, in one of two forms.

    As published, in steps of an epoch: the closed form of CosineAnnealingLR with T_max = epochs (torch's own
    recursion depends on its past). With a warm-up from step to step: first a straight line up from 0.

    Args:
        spec: The training.
        epoch: Counted from 0.
        done: The share of all steps that lie behind in the middle of this one; 0 < done < 1.
    """
    if not spec.warmup_ratio:
        return _cosine(spec.learning_rate, epoch / spec.epochs)
    if done < spec.warmup_ratio:
        return spec.learning_rate * done / spec.warmup_ratio
    return _cosine(spec.learning_rate, (done - spec.warmup_ratio) / (1 - spec.warmup_ratio))


def _cosine(rate: float, done: float) -> float:
    return rate * (1 + math.cos(math.pi * done)) / 2


def set_learning_rate(optimizer: torch.optim.SGD, rate: float) -> None:
    """Of the next step."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):  # where a captured step reads it
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
