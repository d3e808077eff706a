"""How a training steps: its optimizer, and how a step's batch is cut into micro-batches."""

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
