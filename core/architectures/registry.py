"""Name -> network factory. `core.catalog` says what each one accepts."""

from collections.abc import Callable

from torch import nn

from core.catalog import ARCHITECTURES
from core.errors import InputShapeError, UnknownArchitectureError

InputShape = tuple[int, int, int]
Factory = Callable[[int, InputShape], nn.Module]

_FACTORIES: dict[str, Factory] = {}
_CHANNELS = (1, 3)


def register(factory: Factory) -> Factory:
    """Register a factory `(num_classes, input_shape) -> nn.Module` under its function name."""
    _FACTORIES[factory.__name__] = factory
    return factory


def names() -> list[str]:
    """Every registered architecture."""
    return list(_FACTORIES)


def create(name: str, num_classes: int, input_shape: InputShape) -> nn.Module:
    """A freshly initialised network (torch's global random state) that returns logits (N, num_classes).

    Args:
        name: one of `names()`.
        num_classes: outputs, at least 1.
        input_shape: (C, H, W) of one normalised image.

    Raises:
        UnknownArchitectureError: no such name.
        InputShapeError: the architecture does not take such images.
    """
    if name not in _FACTORIES:
        raise UnknownArchitectureError(f"no architecture is named {name!r}; known: {', '.join(names())}")
    _check_shape(name, input_shape)
    return _FACTORIES[name](num_classes, input_shape)


def _check_shape(name: str, input_shape: InputShape) -> None:
    info = ARCHITECTURES[name]
    channels, height, width = input_shape
    if channels not in _CHANNELS:
        raise InputShapeError(f"{name} takes images of 1 or 3 channels, not {channels}")
    if min(height, width) < info.min_size or max(height, width) > info.max_size:
        message = f"{name} takes images of {info.min_size} to {info.max_size} pixels, not {height}x{width}"
        raise InputShapeError(message)
