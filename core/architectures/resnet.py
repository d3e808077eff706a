"""ResNet18 in its 32x32 form: 3x3 stem of stride 1, no max-pool (He et al., CVPR 2016, as MwT trains it)."""

from collections import OrderedDict

from torch import Tensor, nn

from core.architectures.layers import conv3x3, initialise
from core.architectures.registry import InputShape, register

_STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))


class BasicBlock(nn.Module):
    """conv1-BN-ReLU-conv2-BN plus the identity (or its strided 1x1 projection), then ReLU."""

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


def _projection(in_channels: int, width: int, stride: int) -> nn.Module:
    if stride == 1 and in_channels == width:
        return nn.Identity()
    conv = nn.Conv2d(in_channels, width, kernel_size=1, stride=stride, bias=False)
    return nn.Sequential(OrderedDict[str, nn.Module](conv=conv, bn=nn.BatchNorm2d(width)))


@register
def resnet18(num_classes: int, input_shape: InputShape) -> nn.Module:
    """Units in execution order: per block conv1, conv2, then the projection."""
    channels = _STAGES[0][0]
    layers = OrderedDict[str, nn.Module](
        stem=conv3x3(input_shape[0], channels, bias=False),
        stem_bn=nn.BatchNorm2d(channels),
        stem_relu=nn.ReLU(),
    )
    for number, (width, stride) in enumerate(_STAGES, 1):
        blocks = (BasicBlock(channels, width, stride), BasicBlock(width, width, 1))
        layers[f"layer{number}"], channels = nn.Sequential(*blocks), width
    layers |= OrderedDict[str, nn.Module](
        pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), head=nn.Linear(channels, num_classes)
    )
    model = nn.Sequential(layers)
    initialise(model)
    return model
