"""Multi-head attention whose heads may have lost different channels of q, k and v."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class HeadAttention(nn.Module):
    """softmax(q k^T * scale) v for each head, between tokens (N, T, width) as linear layers write them.

    A cut drops a channel of a head's q and k together where either is gone (their product is zero) and a
    channel of v by itself; heads become ragged and are padded with zeros to the widest. The scale stays that
    of the full network. Indices (h, d) say which column each head reads: 0 is padding, i + 1 column i. They
    follow from the mask, so they are not in the state dict; None: column h * d + j is channel j of head h.
    """

    q_index: Tensor | None
    k_index: Tensor | None
    v_index: Tensor | None
    out_index: Tensor | None

    def __init__(self, heads: int, scale: float) -> None:
        super().__init__()
        self.heads, self.scale = heads, scale
        for name in ("q_index", "k_index", "v_index", "out_index"):
            self.register_buffer(name, None, persistent=False)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q, k (N, T, a), v (N, T, b) -> (N, T, b)."""
        queries, keys = self._heads(q, self.q_index), self._heads(k, self.k_index)
        y = F.scaled_dot_product_attention(queries, keys, self._heads(v, self.v_index), scale=self.scale)
        merged = y.transpose(1, 2).flatten(2)  # (N, T, h * d)
        return merged if self.out_index is None else merged.index_select(2, self.out_index)

    def _heads(self, y: Tensor, index: Tensor | None) -> Tensor:
        """(N, T, width) -> (N, h, T, d)."""
        if index is None:
            return torch.unflatten(y, 2, (self.heads, -1)).transpose(1, 2)
        columns = F.pad(y, (1, 0)).index_select(2, index.flatten())
        return torch.unflatten(columns, 2, (self.heads, -1)).transpose(1, 2)

    def paired(self, q_kept: Tensor, k_kept: Tensor) -> tuple[Tensor, Tensor]:
        """Of the kept columns of q and k, bool (width,) each, those whose partner is kept too."""
        q_index, k_index, alive = self._pairs(q_kept, k_kept)
        q_paired, k_paired = torch.zeros_like(q_kept), torch.zeros_like(k_kept)
        q_paired[q_index[alive] - 1] = True
        k_paired[k_index[alive] - 1] = True
        return q_paired, k_paired

    def cut(self, q_kept: Tensor, k_kept: Tensor, v_kept: Tensor) -> Tensor:
        """Follow inputs that hold only the kept columns, bool (width,) each. In place.

        Returns:
            The channels of the output that are left, bool (width,): those of v.
        """
        q_index, k_index, alive = self._pairs(q_kept, k_kept)
        if not (bool(alive.all()) and bool(q_kept.all()) and bool(k_kept.all())):
            self.q_index, self.k_index = _compact(q_index, alive, q_kept), _compact(k_index, alive, k_kept)
        v_index = self._index(self.v_index, v_kept)
        kept = _looked_up(v_kept, v_index)
        if not bool(v_kept.all()):
            self.v_index = _compact(v_index, kept, v_kept)
            self.out_index = self.v_index.flatten().nonzero().flatten()  # all but the padding
        return kept[v_index > 0]

    def _pairs(self, q_kept: Tensor, k_kept: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Both indices and where, bool (h, d), a channel is kept in q and in k."""
        q_index, k_index = self._index(self.q_index, q_kept), self._index(self.k_index, k_kept)
        return q_index, k_index, _looked_up(q_kept, q_index) & _looked_up(k_kept, k_index)

    def _index(self, index: Tensor | None, kept: Tensor) -> Tensor:
        if index is not None:
            return index.cpu()
        return torch.arange(1, kept.numel() + 1).view(self.heads, -1)

    def extra_repr(self) -> str:
        return f"heads={self.heads}, scale={self.scale:g}"


def _looked_up(kept: Tensor, index: Tensor) -> Tensor:
    """Whether each entry of an index reads a kept column; padding reads none."""
    return F.pad(kept, (1, 0))[index]


def _compact(index: Tensor, alive: Tensor, kept: Tensor) -> Tensor:
    """The index of what is alive, in the numbering of the kept columns; heads padded to the widest."""
    renumbered = F.pad(kept.cumsum(0), (1, 0))[index]
    width = max(1, int(alive.sum(dim=1).max()))
    compact = torch.zeros(index.shape[0], width, dtype=torch.int64)
    for head, (numbers, chosen) in enumerate(zip(renumbered, alive, strict=True)):
        compact[head, : int(chosen.sum())] = numbers[chosen]
    return compact
