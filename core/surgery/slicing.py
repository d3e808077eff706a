"""Cutting layers to some of their channels, metadata in step. In place: callers own a copy."""

from typing import TypeAlias

from torch import Tensor, nn

Sliceable: TypeAlias = nn.Conv2d | nn.Linear | nn.BatchNorm1d | nn.BatchNorm2d


def slice_rows(layer: Sliceable, index: Tensor) -> None:
    """Keep the given output channels, in the given order. index: int64 (k,)."""
    for name in ("weight", "bias", "running_mean", "running_var"):
        _select(layer, name, 0, index)
    count = index.numel()
    if isinstance(layer, nn.Conv2d):
        layer.out_channels = count
    elif isinstance(layer, nn.Linear):
        layer.out_features = count
    else:
        layer.num_features = count


def slice_columns(layer: nn.Conv2d | nn.Linear, index: Tensor) -> None:
    """Keep the weights that read the given input channels. index: int64 (k,)."""
    _select(layer, "weight", 1, index)
    if isinstance(layer, nn.Conv2d):
        layer.in_channels = index.numel()
    else:
        layer.in_features = index.numel()


def slice_depthwise(layer: nn.Conv2d, index: Tensor) -> None:
    """Keep the given channels of a convolution with one group per channel. index: int64 (k,)."""
    slice_rows(layer, index)
    layer.in_channels = layer.groups = index.numel()


def _select(layer: nn.Module, name: str, dim: int, index: Tensor) -> None:
    value = getattr(layer, name, None)
    if value is None:
        return
    chosen = value.detach().index_select(dim, index.to(value.device))
    if isinstance(value, nn.Parameter):
        chosen = nn.Parameter(chosen, requires_grad=value.requires_grad)
    setattr(layer, name, chosen)
