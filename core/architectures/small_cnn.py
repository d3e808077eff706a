"""SmallCNN: the network of the demo and of the tests; learns 8x8 digits in seconds on one processor core."""

from collections import OrderedDict

from torch import Tensor, nn

from core.architectures.layers import conv3x3, initialise
from core.architectures.registry import InputShape, register

_STEM = 32
_WIDTHS = (32, 32, 64, 64, 96)
# Where pooling goes as the image allows, the most useful place first: 0 = after the stem, n = after block n.
_POOL_AFTER = (2, 4, 0)
_SMALLEST = 2


class SmallCNN(nn.Module):
    """A stem (never masked) and five conv-BN-ReLU blocks, global average pooling, one linear layer."""

    def __init__(self, num_classes: int, input_shape: InputShape) -> None:
        super().__init__()
        pools = _pools(min(input_shape[1:]))
        self.stem = _block(input_shape[0], _STEM, pool=0 in pools)
        widths = (_STEM, *_WIDTHS)
        self.blocks = nn.Sequential(
            *(_block(widths[i - 1], widths[i], pool=i in pools) for i in range(1, len(widths)))
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.head = nn.Linear(widths[-1], num_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, num_classes) of normalised images (N, C, H, W)."""
        x = self.blocks(self.stem(x))
        return self.head(self.flatten(self.pool(x)))  # type: ignore[no-any-return]  # torch types calls as Any


def _pools(size: int) -> tuple[int, ...]:
    """The pooling places for images of `size` pixels: as many as leave at least 2x2."""
    count = 0
    while count < len(_POOL_AFTER) and size // 2 ** (count + 1) >= _SMALLEST:
        count += 1
    return _POOL_AFTER[:count]


def _block(in_channels: int, out_channels: int, *, pool: bool) -> nn.Sequential:
    layers = OrderedDict[str, nn.Module](
        conv=conv3x3(in_channels, out_channels, bias=False), norm=nn.BatchNorm2d(out_channels), relu=nn.ReLU()
    )
    if pool:
        layers["pool"] = nn.MaxPool2d(2)
    return nn.Sequential(layers)


@register
def small_cnn(num_classes: int, input_shape: InputShape) -> nn.Module:
    return SmallCNN(num_classes, input_shape)
