"""The 13-convolution chains: VGG16 (batch normalisation) and SimCNN (none), in their 32x32 forms."""

from collections import OrderedDict
from collections.abc import Callable

from torch import nn

from core.architectures.layers import conv3x3, initialise
from core.architectures.registry import InputShape, register

# Kernels of each convolution; a 2x2 max-pool ends every stage, so 32x32 becomes 1x1.
_STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
_HIDDEN = 512


def _features(channels: int, convolution: Callable[[int, int], OrderedDict[str, nn.Module]]) -> nn.Sequential:
    stages = OrderedDict[str, nn.Module]()
    for number, widths in enumerate(_STAGES, 1):
        stage = OrderedDict[str, nn.Module]()
        for position, width in enumerate(widths, 1):
            stage |= {f"{kind}{position}": layer for kind, layer in convolution(channels, width).items()}
            channels = width
        stage["pool"] = nn.MaxPool2d(2)
        stages[f"stage{number}"] = nn.Sequential(stage)
    return nn.Sequential(stages)


def _plain(in_channels: int, out_channels: int) -> OrderedDict[str, nn.Module]:
    return OrderedDict(conv=conv3x3(in_channels, out_channels), relu=nn.ReLU())


def _normalised(in_channels: int, out_channels: int) -> OrderedDict[str, nn.Module]:
    norm = nn.BatchNorm2d(out_channels)
    return OrderedDict(conv=conv3x3(in_channels, out_channels), norm=norm, relu=nn.ReLU())


@register
def simcnn(num_classes: int, input_shape: InputShape) -> nn.Module:
    """SimCNN of CNNSplitter and MwT: no normalisation, dropout before each hidden layer.

    The sources state no initialisation; with PyTorch's default one a chain this deep hardly begins to learn.
    """
    layers = OrderedDict[str, nn.Module](
        features=_features(input_shape[0], _plain),
        flatten=nn.Flatten(),
        drop1=nn.Dropout(0.5),
        fc1=nn.Linear(_STAGES[-1][-1], _HIDDEN),
        relu1=nn.ReLU(),
        drop2=nn.Dropout(0.5),
        fc2=nn.Linear(_HIDDEN, _HIDDEN),
        relu2=nn.ReLU(),
        head=nn.Linear(_HIDDEN, num_classes),
    )
    model = nn.Sequential(layers)
    initialise(model)
    return model


@register
def vgg16(num_classes: int, input_shape: InputShape) -> nn.Module:
    """VGG16 with batch normalisation as MwT trains it: linear layers drawn from N(0, 0.01), biases 0."""
    layers = OrderedDict[str, nn.Module](
        features=_features(input_shape[0], _normalised),
        flatten=nn.Flatten(),
        fc1=nn.Linear(_STAGES[-1][-1], _HIDDEN),
        relu1=nn.ReLU(),
        drop1=nn.Dropout(0.5),
        fc2=nn.Linear(_HIDDEN, _HIDDEN),
        relu2=nn.ReLU(),
        drop2=nn.Dropout(0.5),
        head=nn.Linear(_HIDDEN, num_classes),
    )
    model = nn.Sequential(layers)
    initialise(model)
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)
    return model
