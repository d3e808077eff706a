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


def set_learning_rate(optimizer: torch.optim.SGD, spec: TrainSpec, epoch: int) -> None:
    """That of `epoch`, counted from 0: half a cosine from `spec.learning_rate` down to 0.

    The closed form of CosineAnnealingLR with T_max = epochs; torch's own recursion depends on its past.
    """
    rate = spec.learning_rate * (1 + math.cos(math.pi * epoch / spec.epochs)) / 2
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):  # where a captured step reads it
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
