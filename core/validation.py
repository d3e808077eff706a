"""How good a network in training is, on validation data; of several processes each looks at its share."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from core.acceleration import evaluation_batch, fast_layout
from core.catalog import DatasetInfo
from core.datasets import BatchPlan, ImageSplit, draw
from core.errors import TrainingDivergedError
from core.replicas import Replicas
from core.statistics import evaluating
from core.tally import DIVERGED


def validate(
    network: nn.Module, split: ImageSplit, info: DatasetInfo, device: torch.device
) -> tuple[float, float]:
    """Mean loss and accuracy over the splits of all processes; the network is on the device.

    Raises:
        TrainingDivergedError: the loss is NaN or infinite.
    """
    sums = torch.zeros(3, dtype=torch.float64, device=device)  # loss, right answers, samples
    with evaluating(network):
        for images, labels in draw(split, info, BatchPlan(evaluation_batch(device)), device):
            logits = network(fast_layout(images))
            loss = F.cross_entropy(logits, labels, reduction="sum").double()
            right = (logits.argmax(dim=1) == labels).sum().double()
            sums += torch.stack([loss, right, torch.full_like(loss, len(labels))])
        loss_sum, right_sum, count = Replicas.current().total(sums).tolist()
    if not math.isfinite(loss_sum):  # weights may overflow while batch normalisation keeps training tame
        raise TrainingDivergedError(DIVERGED.format(split="validation"))
    return loss_sum / count, right_sum / count
