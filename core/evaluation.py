"""What a network knows: accuracy, per-class accuracy, one-vs-rest F1, size and cost."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from core.acceleration import evaluation_batch, fast_layout
from core.catalog import DatasetInfo
from core.datasets import ImageSplit, StopRequest, batches, stoppable
from core.errors import AnswersNotFiniteError
from core.results import MetricValue
from core.specs import Split


@torch.no_grad()
def predict(
    network: nn.Module,
    split: ImageSplit,
    info: DatasetInfo,
    device: torch.device,
    should_stop: StopRequest = lambda: False,
) -> Tensor:
    """Logits (N, outputs) on the CPU, in the split's order. The network must be in eval mode.

    Raises:
        Interrupted: `should_stop` became true.
        AnswersNotFiniteError: a logit is NaN or infinite; of such answers nothing can be measured.
    """
    network.to(device)
    drawn = stoppable(batches(split, info, evaluation_batch(device), device=device), should_stop)
    logits = torch.cat(
        [network(fast_layout(images)).float() for images, _ in drawn]
    ).cpu()  # one wait for the device
    wrong = int((~logits.isfinite()).any(dim=1).sum())
    if wrong:
        raise AnswersNotFiniteError(
            f"the network's answers to {wrong} of {len(logits)} images are NaN or infinite: its weights, or "
            "mean and std, are beyond what float32 computes with, or a running variance is negative"
        )
    return logits


def positions(labels: Tensor, classes: Sequence[int]) -> Tensor:
    """Labels (N,) of the whole model as positions within `classes`; every label must be among them."""
    lookup = torch.full((max(int(labels.max()), *classes) + 1,), -1, dtype=torch.int64)
    lookup[torch.tensor(classes)] = torch.arange(len(classes))
    return lookup[labels]


def classification_metrics(
    logits: Tensor, labels: Tensor, classes: Sequence[int], names: Sequence[str], split: Split
) -> list[MetricValue]:
    """Accuracy over all samples and per class.

    Args:
        logits: (N, len(classes)), columns in the order of `classes`.
        labels: (N,) labels of the whole model, all of them in `classes`.
        classes: positions of the outputs in the whole model.
        names: class names in the order of `classes`.
        split: the data the logits come from.
    """
    target = positions(labels, classes)
    right = logits.argmax(dim=1) == target
    metrics = [MetricValue(name="accuracy", value=right.double().mean().item(), split=split)]
    for position, name in enumerate(names):
        own = right[target == position]
        if len(own):
            value = own.double().mean().item()
            metrics.append(MetricValue(name="class_accuracy", value=value, split=split, class_name=name))
    return metrics


@dataclass(frozen=True)
class OneVsRest:
    """Precision, recall and F1 of "score > threshold means the class"."""

    precision: float
    recall: float
    f1: float

    def metrics(self, split: Split) -> list[MetricValue]:
        pairs = (("f1", self.f1), ("precision", self.precision), ("recall", self.recall))
        return [MetricValue(name=name, value=value, split=split) for name, value in pairs]


def one_vs_rest(scores: Tensor, positive: Tensor, threshold: float) -> OneVsRest:
    """Score a detector.

    Args:
        scores: (N,) the module's logit.
        positive: (N,) bool, the sample is of the module's class.
        threshold: decision threshold on the score.
    """
    said = scores > threshold
    hits = (said & positive).sum().item()
    precision = hits / max(1, said.sum().item())
    recall = hits / max(1, positive.sum().item())
    return OneVsRest(precision, recall, 2 * precision * recall / max(1e-12, precision + recall))


def best_threshold(scores: Tensor, positive: Tensor) -> float:
    """The threshold with the highest F1 on these (validation) scores, midway between neighbouring scores."""
    order = scores.argsort(descending=True)
    ranked, hits = scores[order].double(), positive[order].double().cumsum(0)
    said = torch.arange(1, len(scores) + 1, dtype=torch.float64)
    f1 = 2 * hits / (said + positive.sum())
    # A cut between equal scores does not exist.
    f1[:-1][ranked[:-1] == ranked[1:]] = -1
    best = int(f1.argmax())
    below = ranked[best + 1] if best + 1 < len(ranked) else ranked[best] - 1
    return float((ranked[best] + below) / 2)


def parameter_count(network: nn.Module) -> int:
    """Trainable numbers; BatchNorm's running statistics are not counted."""
    return sum(parameter.numel() for parameter in network.parameters())


def multiply_accumulates(network: nn.Module, input_shape: Sequence[int]) -> int:
    """Multiply-accumulate operations of convolutions and linear layers for one image (C, H, W)."""
    device = next(network.parameters()).device
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        network(torch.zeros(1, *input_shape, device=device))
    return int(counter.get_total_flops()) // 2  # the counter counts a multiply-accumulate as two
