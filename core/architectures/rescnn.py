"""ResCNN of CNNSplitter and MwT: 12 plain convolutions with three identity skips."""

from torch import Tensor, nn

from core.architectures.layers import conv3x3, initialise
from core.architectures.registry import InputShape, register

_WIDTHS = (64, 128, 128, 128, 256, 512, 512, 512, 512, 512, 512, 512)
_POOL_AFTER = frozenset({1, 4, 5, 8, 9})
# A skip starts behind the pooling of the first convolution and is added behind the ReLU of the second.
_SKIPS = {1: 3, 5: 7, 9: 11}


class ResCNN(nn.Module):
    """No normalisation in the standard form; initialised like SimCNN, since the sources do not say."""

    def __init__(self, num_classes: int, input_shape: InputShape) -> None:
        super().__init__()
        channels = (input_shape[0], *_WIDTHS)
        self.convs = nn.ModuleList(conv3x3(channels[i], width) for i, width in enumerate(_WIDTHS))
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(_WIDTHS[-1], num_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, num_classes) of normalised images (N, C, 32, 32)."""
        waiting: dict[int, Tensor] = {}
        for index, conv in enumerate(self.convs):
            x = self.relu(conv(x))
            if index in waiting:
                x = x + waiting.pop(index)
            if index in _POOL_AFTER:
                x = self.pool(x)
            if index in _SKIPS:
                waiting[_SKIPS[index]] = x
        return self.head(self.dropout(self.flatten(x)))  # type: ignore[no-any-return]  # torch types calls as Any


@register
def rescnn(num_classes: int, input_shape: InputShape) -> nn.Module:
    return ResCNN(num_classes, input_shape)
