"""The mask generator of MwT (ICSE 2024) and NeMo (TOSEM 2025): which neurons of a unit one sample needs."""

from collections import OrderedDict

from torch import nn

from core.units import Unit

# The published code halves the hidden layer of generators this wide.
_HALVED_FROM = 128
_INITIAL_BIAS = 1.0


class MaskGenerator(nn.Sequential):
    """relu(tanh(W2 relu(W1 mean(x)) + b)): a unit's input (N, C, H, W) -> soft masks (N, width) in [0, 1).

    Built of plain torch.nn layers, so that surgery slices it like any other part of the network. Zero is
    exact (relu), and the bias of 1 starts training with most neurons on.
    """

    def __init__(self, in_channels: int, width: int) -> None:
        hidden = width if width < _HALVED_FROM else width // 2
        layers = OrderedDict[str, nn.Module](
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            reduce=nn.Linear(in_channels, hidden, bias=False),
            relu=nn.ReLU(),
            expand=nn.Linear(hidden, width),
            squash=nn.Tanh(),
            cut=nn.ReLU(),
        )
        super().__init__(layers)
        for layer in (layers["reduce"], layers["expand"]):
            assert isinstance(layer, nn.Linear)  # noqa: S101 - narrows the type
            nn.init.kaiming_normal_(layer.weight)
            if layer.bias is not None:
                nn.init.constant_(layer.bias, _INITIAL_BIAS)

    @classmethod
    def for_unit(cls, unit: Unit) -> "MaskGenerator":
        """The generator of one unit: it sees what the unit's convolution sees."""
        return cls(unit.in_channels, unit.width)
