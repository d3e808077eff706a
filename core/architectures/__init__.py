"""Registered networks: `create(name, num_classes, input_shape)`; one file per family."""

from core.architectures import plain, rescnn, resnet, small_cnn
from core.architectures.registry import create, names, register

__all__ = ["create", "names", "plain", "register", "rescnn", "resnet", "small_cnn"]
