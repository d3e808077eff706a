"""Which units write one residual stream."""

import pytest
import torch
from torch import Tensor, nn

from core.architectures import create
from core.surgery.streams import stream_groups


def conv(channels: int) -> nn.Conv2d:
    return nn.Conv2d(channels, 6, 3, padding=1)


class Sums(nn.Module):
    """Two streams: a + b, then + c behind a ReLU; and d + the stem. e is added to nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.a, self.b, self.c = conv(3), conv(6), conv(6), conv(6)
        self.d, self.e = conv(6), conv(6)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.d(x)
        y = torch.relu(self.a(x) + self.b(x))
        y = y + self.c(y)
        return self.head(self.e(y).mean(dim=(2, 3)))  # type: ignore[no-any-return]  # torch types calls as Any


def test_sums_that_share_a_writer_are_one_stream_and_one_with_the_stem_is_none() -> None:
    assert stream_groups(Sums()) == [("a", "b", "c")]


class OneMapForAll(Sums):
    """b writes one map that is added to every channel of a."""

    def __init__(self) -> None:
        super().__init__()
        self.b = nn.Conv2d(6, 1, 3, padding=1)


def test_units_of_different_widths_share_nothing() -> None:
    assert stream_groups(OneMapForAll()) == []


@pytest.mark.parametrize(
    ("architecture", "writers"),
    [
        # The first stage's stream starts with the stem; with bottlenecks, with a projection.
        ("resnet18", [3, 3, 3]),
        ("resnet50", [4, 5, 7, 4]),
        ("rescnn", [2, 2, 2]),
        ("torchvision:mobilenet_v2", [2, 3, 4, 3, 3]),
        ("torchvision:densenet121", []),  # concatenations
        ("small_cnn", []),
        ("vit_small", []),  # its stream starts with the embedding
    ],
)
def test_streams_of_networks(architecture: str, writers: list[int]) -> None:
    groups = stream_groups(create(architecture, 10, (3, 32, 32)))
    assert [len(group) for group in groups] == writers


def test_a_stage_of_a_resnet_is_written_by_its_last_convolutions_and_its_projection() -> None:
    groups = stream_groups(create("resnet18", 10, (3, 32, 32)))
    assert groups[0] == ("layer2.0.conv2", "layer2.0.downsample.conv", "layer2.1.conv2")
