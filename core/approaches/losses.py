"""The modularity losses on soft masks, as the authors' code computes them (formulas: docs/method.md)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

_EPSILON = 1e-12


def directions(masks: Sequence[Tensor]) -> Tensor:
    """Sample masks scaled to length 1: per unit (N, n) -> (L, N, widest n). A mask of zeros stays zero.

    Narrower units are filled up with zeros, which change no inner product: one product serves all units.
    """
    width = max(mask.shape[1] for mask in masks)
    stacked = torch.stack([F.pad(mask, (0, width - mask.shape[1])) for mask in masks])
    return F.normalize(stacked, dim=2, eps=_EPSILON)


def mwt_losses(masks: Sequence[Tensor], labels: Tensor) -> tuple[Tensor, Tensor]:
    """MwT's cohesion and coupling losses, each the mean over units.

    Per unit, over the pairs i < j of the batch: cohesion = 1 - mean similarity of equal labels, coupling =
    mean similarity of different labels. A batch without such pairs adds nothing (the published code: NaN).

    Args:
        masks: per unit (N, n) soft masks.
        labels: (N,) class indices.
    """
    rows = directions(masks)  # (L, N, n)
    same = (labels[:, None] == labels[None, :]).to(rows.dtype)
    # The sum of S_ij over all i, j is the squared length of the summed rows: no (N, N) matrix per unit.
    itself, alike = rows.square().sum(), (rows * (same @ rows)).sum()
    every = rows.sum(dim=1).square().sum()
    # Sums over i < j: half of those over i != j.
    alike_pairs, pairs = (same.sum() - len(labels)) / 2, len(labels) * (len(labels) - 1) / 2
    cohesion = alike_pairs.clamp_max(1) - _mean((alike - itself) / 2, alike_pairs, len(masks))
    return cohesion, _mean((every - alike) / 2, pairs - alike_pairs, len(masks))


def _mean(total: Tensor, pairs: Tensor, units: int) -> Tensor:
    """Mean over units and pairs; 0 when there are no pairs. No branch: no wait for the device."""
    return total / (units * pairs.clamp_min(1))


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
    rows = directions(masks)
    return _contrast(rows @ rows.mT / temperature, positive, negative, left_out)


def _contrast(
    logits: Tensor, positive: Tensor, negative: Tensor, left_out: tuple[Tensor, Tensor] | None
) -> Tensor:
    """Mean over units and anchors of log(1 + neg/pos) = -log(pos / (pos + neg)); logits (L, N, N).

    In logarithms it cannot overflow.
    """
    zeros = left_out or (torch.zeros_like(positive), torch.zeros_like(negative))
    pos = _log_sum(logits, positive, zeros[0])
    neg = _log_sum(logits, negative, zeros[1])
    anchors = positive.any(dim=1)
    losses = torch.where(anchors, F.softplus(neg - pos), 0.0)
    return losses.sum() / (len(logits) * anchors.sum().clamp_min(1))


def _log_sum(logits: Tensor, chosen: Tensor, zeros: Tensor) -> Tensor:
    """log of the row sums (L, N) of exp(logits) over `chosen` plus exp(0) over `zeros`; both (N, N) bool."""
    terms = logits.masked_fill(zeros, 0.0).masked_fill(~(chosen | zeros), _NOTHING)
    return terms.logsumexp(dim=2)


# Adds nothing to a sum, and unlike -inf gives an empty sum a gradient of zero instead of NaN.
_NOTHING = -1e4
