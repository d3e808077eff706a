"""The mask generator of MwT (ICSE 2024) and NeMo (TOSEM 2025): which neurons of a unit one sample needs."""

from collections import OrderedDict

from torch import Tensor, nn

from core.units import Unit

# The published code halves the hidden layer of generators this wide: for maps, and for tokens.
_HALVED_FROM = 128
_TOKENS_HALVED_FROM = 3073
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
        _initialise(self)

    @classmethod
    def for_unit(cls, unit: Unit) -> "MaskGenerator | TokenMaskGenerator":
        """The generator of one unit: it sees what the unit's layer sees."""
        if unit.tokens:
            return TokenMaskGenerator(unit.in_channels, unit.width)
        return cls(unit.in_channels, unit.width)


class TokenMean(nn.Module):
    """The mean over tokens."""

    def forward(self, x: Tensor) -> Tensor:
        """x (N, T, D) -> (N, D)."""
        return x.mean(dim=1)


class TokenMaskGenerator(nn.Sequential):
    """NeMo's generator of a Linear unit: relu(tanh(W2 relu(W1 mean(x) + b1) + b2)), tokens -> (N, width).

    One mask per image for all its tokens, class and distillation tokens among them.
    """

    def __init__(self, in_features: int, width: int) -> None:
        hidden = width if width < _TOKENS_HALVED_FROM else width // 2
        layers = OrderedDict[str, nn.Module](
            pool=TokenMean(),
            reduce=nn.Linear(in_features, hidden),
            relu=nn.ReLU(),
            expand=nn.Linear(hidden, width),
            squash=nn.Tanh(),
            cut=nn.ReLU(),
        )
        super().__init__(layers)
        _initialise(self)


def _initialise(generator: nn.Sequential) -> None:
    """Kaiming-normal weights; biases start most neurons on."""
    for layer in generator:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            if layer.bias is not None:
                nn.init.constant_(layer.bias, _INITIAL_BIAS)
