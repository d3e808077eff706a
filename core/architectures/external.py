"""Classifiers of other packages by prefix: `torchvision:<name>`, and `timm:<name>` where timm is installed.

Fresh weights only. The head has one output per class; a network built for 3 channels gets a first convolution
for as many as the images have.
"""

from typing import Any

from torch import nn

from core.architectures.registry import InputShape, register_package
from core.errors import InputShapeError, MissingPackageError, UnknownArchitectureError, UntraceableModelError
from core.surgery.sites import unit_sites
from core.surgery.tracing import trace, value_shapes

_RGB = 3
# What a family needs to be told, beside the number of classes.
_WITHOUT_AUXILIARY_HEADS = {"aux_logits": False, "init_weights": True}
_SPECIAL = {"googlenet": _WITHOUT_AUXILIARY_HEADS, "inception_v3": _WITHOUT_AUXILIARY_HEADS}


@register_package("torchvision")
def torchvision_classifier(name: str, num_classes: int, input_shape: InputShape) -> nn.Module:
    """One of `torchvision.models.list_models(module=torchvision.models)`."""
    from torchvision import models

    if name not in models.list_models(module=models):
        raise UnknownArchitectureError(f"torchvision has no classifier named {name!r}")
    channels, height, width = input_shape
    options: dict[str, Any] = dict(_SPECIAL.get(name, {}))
    if name.startswith("vit_"):
        options["image_size"] = height
    elif name.startswith("maxvit"):
        options["input_size"] = (height, width)
    try:
        model: nn.Module = models.get_model(name, weights=None, num_classes=num_classes, **options)
    except (ValueError, RuntimeError, AssertionError) as error:
        raise InputShapeError(
            f"torchvision:{name} takes no images of {height}x{width} pixels: {error}"
        ) from error
    if channels != _RGB:
        _replace_stem(model, channels)
    return _checked(f"torchvision:{name}", model, num_classes, input_shape)


@register_package("timm")
def timm_classifier(name: str, num_classes: int, input_shape: InputShape) -> nn.Module:
    """One of `timm.list_models()`."""
    try:
        import timm
    except ImportError as error:
        message = "timm: networks need the package timm on the worker: pip install 'cleave[timm]'"
        raise MissingPackageError(message) from error
    if not timm.is_model(name):
        raise UnknownArchitectureError(f"timm has no network named {name!r}")
    channels, height, width = input_shape
    options: dict[str, Any] = {"pretrained": False, "num_classes": num_classes, "in_chans": channels}
    try:
        model: nn.Module = timm.create_model(name, img_size=(height, width), **options)
    except TypeError:  # networks for any size do not ask for one
        model = timm.create_model(name, **options)
    except (ValueError, RuntimeError, AssertionError) as error:
        raise InputShapeError(f"timm:{name} takes no images of {height}x{width} pixels: {error}") from error
    return _checked(f"timm:{name}", model, num_classes, input_shape)


def _checked(name: str, model: nn.Module, num_classes: int, input_shape: InputShape) -> nn.Module:
    """The model, if it classifies such images and has layers that masks can act on."""
    traced = trace(model)
    *_, logits = value_shapes(traced, input_shape).values()
    if logits[1:] != (num_classes,):
        raise UnknownArchitectureError(f"{name!r} is no classifier: it returns values of shape {logits[1:]}")
    if not unit_sites(traced):
        message = (
            f"{name!r} has nothing to mask: no convolution behind the first, no encoder over tokens (N, T, D)"
        )
        raise UntraceableModelError(message)
    return model


def _replace_stem(model: nn.Module, channels: int) -> None:
    """Give the first convolution as many input channels as the images have."""
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Conv2d):
            stem = nn.Conv2d(
                channels, layer.out_channels, layer.kernel_size, layer.stride,  # type: ignore[arg-type]
                layer.padding, layer.dilation, bias=layer.bias is not None,  # type: ignore[arg-type]
            )  # fmt: skip
            model.set_submodule(name, stem)
            return
