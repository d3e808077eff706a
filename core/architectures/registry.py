"""Name -> network factory. `core.catalog` says what each one accepts."""

from collections.abc import Callable

from torch import nn

from core.catalog import ARCHITECTURES
from core.errors import InputShapeError, UnknownArchitectureError

InputShape = tuple[int, int, int]
Factory = Callable[[int, InputShape], nn.Module]
PackageFactory = Callable[[str, int, InputShape], nn.Module]

_FACTORIES: dict[str, Factory] = {}
_PACKAGES: dict[str, PackageFactory] = {}
_CHANNELS = (1, 3)


def register(factory: Factory) -> Factory:
    """Register a factory `(num_classes, input_shape) -> nn.Module` under its function name."""
    _FACTORIES[factory.__name__] = factory
    return factory


def register_package(package: str) -> Callable[[PackageFactory], PackageFactory]:
    """Register what makes `<package>:<name>`: `(name, num_classes, input_shape) -> nn.Module`."""

    def keep(factory: PackageFactory) -> PackageFactory:
        _PACKAGES[package] = factory
        return factory

    return keep


def packages() -> list[str]:
    """The prefixes under which other packages' networks can be had."""
    return list(_PACKAGES)


def names() -> list[str]:
    """Every registered architecture; those of other packages are not listed."""
    return list(_FACTORIES)


def create(name: str, num_classes: int, input_shape: InputShape) -> nn.Module:
    """A freshly initialised network (torch's global random state) that returns logits (N, num_classes).

    Args:
        name: one of `names()`, or `<package>:<name>` with one of `packages()`.
        num_classes: outputs, at least 1.
        input_shape: (C, H, W) of one normalised image.

    Raises:
        UnknownArchitectureError: no such name.
        InputShapeError: the architecture does not take such images.
        UntraceableModelError: torch.fx cannot trace another package's network.
    """
    package, _, own_name = name.partition(":")
    if package in _PACKAGES:
        return _PACKAGES[package](own_name, num_classes, input_shape)
    if name not in _FACTORIES:
        known = ", ".join([*names(), *(f"{prefix}:<name>" for prefix in packages())])
        raise UnknownArchitectureError(f"no architecture is named {name!r}; known: {known}")
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
