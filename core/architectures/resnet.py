"""ResNet18, 34 and 50 (He et al., CVPR 2016): the form of MwT for small images, the original for large ones.

Small images: 3x3 stem of stride 1, no max-pool. From 64 pixels: 7x7 stem of stride 2, then max-pooling.
"""

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn

from core.architectures.layers import conv3x3, initialise, is_large
from core.architectures.registry import InputShape, register

_WIDTHS = (64, 128, 256, 512)
_STRIDES = (1, 2, 2, 2)


class BasicBlock(nn.Module):
    """conv1-BN-ReLU-conv2-BN plus the identity (or its strided 1x1 projection), then ReLU."""

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(in_channels, width, stride=stride, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = conv3x3(width, width, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _projection(in_channels, width, stride)
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        residual = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        return self.relu2(residual + self.downsample(x))  # type: ignore[no-any-return]  # torch types calls as Any


class Bottleneck(nn.Module):
    """1x1 to `width`, 3x3 (with the stride, as torchvision has it), 1x1 to 4 * `width`; plus the shortcut."""

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        wide = width * self.expansion
        self.conv1 = nn.Conv2d(in_channels, width, kernel_size=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = conv3x3(width, width, stride=stride, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(width, wide, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm2d(wide)
        self.downsample = _projection(in_channels, wide, stride)
        self.relu3 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        residual = self.relu1(self.bn1(self.conv1(x)))
        residual = self.relu2(self.bn2(self.conv2(residual)))
        residual = self.bn3(self.conv3(residual))
        return self.relu3(residual + self.downsample(x))  # type: ignore[no-any-return]  # torch types calls as Any


def _projection(in_channels: int, width: int, stride: int) -> nn.Module:
    if stride == 1 and in_channels == width:
        return nn.Identity()
    conv = nn.Conv2d(in_channels, width, kernel_size=1, stride=stride, bias=False)
    return nn.Sequential(OrderedDict[str, nn.Module](conv=conv, bn=nn.BatchNorm2d(width)))


def _stem(input_shape: InputShape, width: int) -> OrderedDict[str, nn.Module]:
    large = is_large(input_shape)
    if large:
        conv = nn.Conv2d(input_shape[0], width, kernel_size=7, stride=2, padding=3, bias=False)
    else:
        conv = conv3x3(input_shape[0], width, bias=False)
    layers = OrderedDict[str, nn.Module](stem=conv, stem_bn=nn.BatchNorm2d(width), stem_relu=nn.ReLU())
    if large:
        layers["stem_pool"] = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
    return layers


def _resnet(
    block: type[BasicBlock] | type[Bottleneck],
    depths: Sequence[int],
    num_classes: int,
    input_shape: InputShape,
) -> nn.Module:
    """Units in execution order: per block its convolutions, then the projection."""
    channels = _WIDTHS[0]
    layers = _stem(input_shape, channels)
    for number, (width, stride, depth) in enumerate(zip(_WIDTHS, _STRIDES, depths, strict=True), 1):
        wide = width * block.expansion
        rest = (block(wide, width, 1) for _ in range(depth - 1))
        layers[f"layer{number}"] = nn.Sequential(block(channels, width, stride), *rest)
        channels = wide
    layers |= OrderedDict[str, nn.Module](
        pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), head=nn.Linear(channels, num_classes)
    )
    model = nn.Sequential(layers)
    initialise(model)
    return model


@register
def resnet18(num_classes: int, input_shape: InputShape) -> nn.Module:
    return _resnet(BasicBlock, (2, 2, 2, 2), num_classes, input_shape)


@register
def resnet34(num_classes: int, input_shape: InputShape) -> nn.Module:
    return _resnet(BasicBlock, (3, 4, 6, 3), num_classes, input_shape)


@register
def resnet50(num_classes: int, input_shape: InputShape) -> nn.Module:
    return _resnet(Bottleneck, (3, 4, 6, 3), num_classes, input_shape)
