"""MobileNet v1 (Howard et al., arXiv 1704.04861) as MODA trains it: 32x32 images, stem of stride 1."""

from collections import OrderedDict

from torch import nn

from core.architectures.layers import conv3x3, initialise, is_large
from core.architectures.registry import InputShape, register

_STEM = 32
# Width and stride of each depthwise-separable block.
_BLOCKS = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
    *(((512, 1),) * 5), (1024, 2), (1024, 1),
)  # fmt: skip


def _block(in_channels: int, width: int, stride: int) -> nn.Sequential:
    """3x3 per channel, then 1x1 across channels; each with BN and ReLU."""
    depthwise = nn.Conv2d(
        in_channels, in_channels, kernel_size=3, stride=stride, padding=1, groups=in_channels, bias=False
    )
    return nn.Sequential(
        OrderedDict[str, nn.Module](
            depthwise=depthwise,
            norm1=nn.BatchNorm2d(in_channels),
            relu1=nn.ReLU(),
            pointwise=nn.Conv2d(in_channels, width, kernel_size=1, bias=False),
            norm2=nn.BatchNorm2d(width),
            relu2=nn.ReLU(),
        )
    )


@register
def mobilenet(num_classes: int, input_shape: InputShape) -> nn.Module:
    """From 64 pixels the stem has stride 2, as in the paper on ImageNet."""
    stride = 2 if is_large(input_shape) else 1
    stem = conv3x3(input_shape[0], _STEM, stride=stride, bias=False)
    layers = OrderedDict[str, nn.Module](stem=stem, stem_bn=nn.BatchNorm2d(_STEM), stem_relu=nn.ReLU())
    channels = _STEM
    for number, (width, stride) in enumerate(_BLOCKS, 1):
        layers[f"block{number}"], channels = _block(channels, width, stride), width
    layers |= OrderedDict[str, nn.Module](
        pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), head=nn.Linear(channels, num_classes)
    )
    model = nn.Sequential(layers)
    initialise(model)
    return model
