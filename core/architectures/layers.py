"""Layers and initialisations that several architectures share."""

from torch import nn

# From this many pixels on, an architecture takes the form of its paper on ImageNet.
_LARGE = 64


def conv3x3(in_channels: int, out_channels: int, *, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    """A 3x3 convolution that keeps height and width at stride 1."""
    return nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1, bias=bias)


def initialise(model: nn.Module) -> None:
    """Kaiming-normal (fan out) convolutions; biases 0, BatchNorm 1/0 (VGG16 and ResNet18 of the MwT code)."""
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)


def is_large(input_shape: tuple[int, int, int]) -> bool:
    """Whether images (C, H, W) are large enough for a network's 224-pixel form."""
    return min(input_shape[1:]) >= _LARGE
