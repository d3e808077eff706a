"""Registered networks: `create(name, num_classes, input_shape)`; one file per family."""

from core.architectures import external, lenet5, mobilenet, plain, rescnn, resnet, small_cnn, vit
from core.architectures.registry import create, names, packages, register

__all__ = [
    "create",
    "external",
    "lenet5",
    "mobilenet",
    "names",
    "packages",
    "plain",
    "register",
    "rescnn",
    "resnet",
    "small_cnn",
    "vit",
]  # fmt: skip
