"""LeNet5 as MODA repairs it: two 5x5 convolutions with ReLU and max-pooling, then 120-84-classes."""

from collections import OrderedDict

from torch import nn

from core.architectures.layers import initialise
from core.architectures.registry import InputShape, register

_WIDTHS = (6, 16)
_HIDDEN = (120, 84)
_KERNEL = 5


def _pooled(size: int) -> int:
    """Pixels left of `size` behind both convolutions and pools."""
    for _ in _WIDTHS:
        size = (size - _KERNEL + 1) // 2
    return size


@register
def lenet5(num_classes: int, input_shape: InputShape) -> nn.Module:
    """The last convolution's maps are flattened with their pixels (16 x 5 x 5 of a 32x32 image)."""
    channels, height, width = input_shape
    flat = _WIDTHS[1] * _pooled(height) * _pooled(width)
    layers = OrderedDict[str, nn.Module](
        conv1=nn.Conv2d(channels, _WIDTHS[0], _KERNEL),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(_WIDTHS[0], _WIDTHS[1], _KERNEL),
        relu2=nn.ReLU(),
        pool2=nn.MaxPool2d(2),
        flatten=nn.Flatten(),
        fc1=nn.Linear(flat, _HIDDEN[0]),
        relu3=nn.ReLU(),
        fc2=nn.Linear(*_HIDDEN),
        relu4=nn.ReLU(),
        head=nn.Linear(_HIDDEN[1], num_classes),
    )
    model = nn.Sequential(layers)
    initialise(model)
    return model
