"""The few operations surgery puts into a network: leaf layers and one leaf function for torch.fx."""

from typing import Any

import torch
from torch import Tensor, fx, nn

from core.surgery.attention import HeadAttention

MAPS = 4  # dimensions of (N, C, H, W)


def channel_axis(rank: int) -> int:
    """Where neurons lie in a unit's output: dimension 1 of maps (N, C, H, W), else the last."""
    return 1 if rank == MAPS else rank - 1


def apply_mask(y: Tensor, m: Tensor) -> Tensor:
    """Weigh each channel: maps y (N, C, H, W), tokens y (N, T, C) or vectors y (N, C) times m (N, C).

    All places alike.

    Stays one node in a traced graph, so that surgery can tell a mask from any other product.
    """
    if isinstance(y, fx.Proxy):
        proxy: Any = y.tracer.create_proxy("call_function", apply_mask, (y, m), {})
        return proxy  # stands for a Tensor while tracing
    return y * at_every_place(m, y)


def at_every_place(m: Tensor, y: Tensor) -> Tensor:
    """Masks m (N, C) in the form and type of y: maps (N, C, 1, 1), tokens (N, 1, C) or vectors (N, C)."""
    m = m.to(y.dtype)  # masks in float32 would make float32 of bfloat16 maps, twice the memory to move
    if y.dim() == MAPS:
        return m[..., None, None]
    return m if y.dim() == m.dim() else m[:, None, :]


class ChannelScatter(nn.Module):
    """Put channels back into a wider channel dimension; the other channels are zero.

    The index is not in the state dict: it follows from the mask, from which the layer is rebuilt.
    """

    index: Tensor

    def __init__(self, index: Tensor, width: int, dim: int = 1) -> None:
        super().__init__()
        self.width, self.dim = width, dim
        self.register_buffer("index", index, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., k, ...) -> (..., width, ...), along `dim`."""
        shape = (*x.shape[: self.dim], self.width, *x.shape[self.dim + 1 :])
        return x.new_zeros(shape).index_copy_(self.dim, self.index, x)  # index_copy would copy the zeros

    def extra_repr(self) -> str:
        return f"{self.index.numel()} -> {self.width}, dim={self.dim}"


class ChannelGather(nn.Module):
    """Select channels (or logits) by index; not in the state dict, like ChannelScatter's index."""

    index: Tensor

    def __init__(self, index: Tensor, dim: int = 1) -> None:
        super().__init__()
        self.dim = dim
        self.register_buffer("index", index, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., C, ...) -> (..., k, ...), along `dim`."""
        return torch.index_select(x, self.dim, self.index)

    def extra_repr(self) -> str:
        return f"-> {self.index.numel()}, dim={self.dim}"


class ChannelScale(nn.Module):
    """Multiply each channel by a constant; a hard mask when the constants are 0 and 1."""

    scale: Tensor

    def __init__(self, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """x (N, C, H, W), (N, T, C) or (N, C), times scale (C,)."""
        return x * (self.scale[:, None, None] if x.dim() == MAPS else self.scale)


LEAF_LAYERS = (ChannelScatter, ChannelGather, ChannelScale, HeadAttention)
