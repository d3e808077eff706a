"""The modularity losses on soft masks, as the authors' code computes them (formulas: docs/method.md)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

_EPSILON = 1e-12


def similarities(masks: Tensor) -> Tensor:
    """Cosine of all pairs of sample masks: (N, n) -> (N, N). A mask of zeros is similar to nothing."""
    rows = F.normalize(masks, dim=1, eps=_EPSILON)
    return rows @ rows.T


def mwt_losses(masks: Sequence[Tensor], labels: Tensor) -> tuple[Tensor, Tensor]:
    """MwT's cohesion and coupling losses, each the mean over units.

    Per unit, over the pairs i < j of the batch: cohesion = 1 - mean similarity of equal labels, coupling =
    mean similarity of different labels. A batch without such pairs adds nothing (the published code: NaN).

    Args:
        masks: per unit (N, n) soft masks.
        labels: (N,) class indices.
    """
    same = labels[:, None] == labels[None, :]
    upper = torch.ones_like(same).triu(diagonal=1)
    cohesion, coupling = [], []
    for mask in masks:
        similarity = similarities(mask)
        alike, exists = _mean_over(similarity, same & upper)
        cohesion.append(exists - alike)
        coupling.append(_mean_over(similarity, ~same & upper)[0])
    return torch.stack(cohesion).mean(), torch.stack(coupling).mean()


def _mean_over(values: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of the chosen values, and 1; 0 and 0 when none is chosen. No branch: no wait for the device."""
    weights = chosen.to(values.dtype)
    count = weights.sum()
    return (values * weights).sum() / count.clamp_min(1), count.clamp_max(1)


def nemo_contrastive(
    masks: Sequence[Tensor],
    labels: Tensor,
    temperature: float,
    zero_terms: bool = True,
    self_term: bool = True,
) -> Tensor:
    """NeMo's contrastive loss: the mean over units and anchors i of -log(pos_i / (pos_i + neg_i)).

    pos_i sums exp(S_ij / T) over the samples j of i's class, neg_i over the others.

    Args:
        masks: per unit (N, n) soft masks.
        labels: (N,) class indices.
        temperature: T.
        zero_terms: every pair left out of a sum still adds exp(0), as in the published code.
        self_term: i counts among its own positives, as in the published code. Without it an anchor that has
            no other positive is left out of the mean.
    """
    same = labels[:, None] == labels[None, :]
    others = (
        torch.ones_like(same)
        if self_term
        else ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    )
    positive, negative = same & others, ~same
    left_out = (~positive & others, ~negative & others) if zero_terms else None
    losses = [_contrast(similarities(mask) / temperature, positive, negative, left_out) for mask in masks]
    return torch.stack(losses).mean()


def _contrast(
    logits: Tensor, positive: Tensor, negative: Tensor, left_out: tuple[Tensor, Tensor] | None
) -> Tensor:
    """Mean over anchors of log(1 + neg/pos) = -log(pos / (pos + neg)); in logarithms it cannot overflow."""
    zeros = left_out or (torch.zeros_like(positive), torch.zeros_like(negative))
    pos = _log_sum(logits, positive, zeros[0])
    neg = _log_sum(logits, negative, zeros[1])
    anchors = positive.any(dim=1)
    losses = torch.where(anchors, F.softplus(neg - pos), 0.0)
    return losses.sum() / anchors.sum().clamp_min(1)


def _log_sum(logits: Tensor, chosen: Tensor, zeros: Tensor) -> Tensor:
    """log of the row sums of exp(logits) over `chosen` plus exp(0) over `zeros`; both (N, N) bool."""
    terms = logits.masked_fill(zeros, 0.0).masked_fill(~(chosen | zeros), _NOTHING)
    return terms.logsumexp(dim=1)


# Adds nothing to a sum, and unlike -inf gives an empty sum a gradient of zero instead of NaN.
_NOTHING = -1e4
