"""The few operations surgery puts into a network: leaf layers and one leaf function for torch.fx."""

from typing import Any

import torch
from torch import Tensor, fx, nn


def apply_mask(y: Tensor, m: Tensor) -> Tensor:
    """Weigh each channel of a feature map: y (N, C, H, W) * m (N, C).

    Stays one node in a traced graph, so that surgery can tell a mask from any other product.
    """
    if isinstance(y, fx.Proxy):
        proxy: Any = y.tracer.create_proxy("call_function", apply_mask, (y, m), {})
        return proxy  # stands for a Tensor while tracing
    return y * m[..., None, None]


class ChannelScatter(nn.Module):
    """Put channels back into a wider channel dimension; the other channels are zero.

    The index is not in the state dict: it follows from the mask, from which the layer is rebuilt.
    """

    index: Tensor

    def __init__(self, index: Tensor, width: int) -> None:
        super().__init__()
        self.width = width
        self.register_buffer("index", index, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """x (N, k, ...) -> (N, width, ...)."""
        return x.new_zeros((x.shape[0], self.width, *x.shape[2:])).index_copy(1, self.index, x)

    def extra_repr(self) -> str:
        return f"{self.index.numel()} -> {self.width}"


class ChannelGather(nn.Module):
    """Select channels (or logits) by index; not in the state dict, like ChannelScatter's index."""

    index: Tensor

    def __init__(self, index: Tensor) -> None:
        super().__init__()
        self.register_buffer("index", index, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """x (N, C, ...) -> (N, k, ...)."""
        return torch.index_select(x, 1, self.index)

    def extra_repr(self) -> str:
        return f"-> {self.index.numel()}"


class ChannelScale(nn.Module):
    """Multiply each channel of a feature map by a constant; a hard mask when the constants are 0 and 1."""

    scale: Tensor

    def __init__(self, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """x (N, C, H, W) * scale (C,)."""
        return x * self.scale[:, None, None]


LEAF_LAYERS = (ChannelScatter, ChannelGather, ChannelScale)
