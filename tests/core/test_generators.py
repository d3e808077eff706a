"""Mask generators: as many parameters as the papers' code makes, one mask per image."""

import pytest
import torch

from core.approaches.generators import MaskGenerator, TokenMaskGenerator
from core.architectures import create
from core.units import Unit, find_units


@pytest.mark.parametrize(
    ("architecture", "millions"),
    [("vgg16", 1.73), ("resnet18", 1.59), ("rescnn", 1.87), ("vit_small", 53.6)],
)
def test_parameters_are_the_published_ones(architecture: str, millions: float) -> None:
    with torch.device("meta"):
        units = find_units(create(architecture, 10, (3, 32, 32)))
        generators = [MaskGenerator.for_unit(unit) for unit in units if not unit.hidden]
    found = sum(p.numel() for generator in generators for p in generator.parameters())
    assert found / 1e6 == pytest.approx(millions, rel=0.004)


def test_wide_token_generators_halve_their_hidden_layer() -> None:
    with torch.device("meta"):
        hidden = [
            TokenMaskGenerator(64, width).get_parameter("reduce.weight").shape[0] for width in (3072, 3073)
        ]
    assert hidden == [3072, 1536]


def test_all_tokens_of_an_image_share_one_mask() -> None:
    torch.manual_seed(0)
    generator = MaskGenerator.for_unit(Unit("fc1", None, 6, 9, tokens=True))
    tokens = torch.randn(3, 5, 6)
    with torch.no_grad():
        masks, shuffled = generator(tokens), generator(tokens[:, [4, 2, 0, 1, 3]])
    assert masks.shape == (3, 9)
    torch.testing.assert_close(shuffled, masks)
    assert float(masks.min()) >= 0
    assert float((masks > 0).float().mean()) > 0.5  # biases of 1 start most neurons on
