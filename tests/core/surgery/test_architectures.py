"""The project's property: for each registered network, form and mask, the cut equals the masked network."""

from functools import cache

import pytest
import torch
from torch import Tensor, nn

from core.approaches.generators import MaskGenerator
from core.architectures import create, names
from core.surgery.extraction import extract
from core.surgery.masking import hard_masked, insert_generators
from core.units import Unit, find_units
from tests.fixtures.networks import images, random_mask, randomise, run

CLASSES = (7, 0, 3)
EVERY_NETWORK = pytest.mark.parametrize("name", names())
EVERY_FORM = pytest.mark.parametrize("form", ["static", "gated"])
ONE_NEURON, ALL_NEURONS = 0.0, 1.0
MASKS = pytest.mark.parametrize(("density", "seed"), [(ONE_NEURON, 1), (0.3, 2), (0.7, 3), (ALL_NEURONS, 4)])


def shape_of(name: str) -> tuple[int, int, int]:
    return (1, 8, 8) if name == "small_cnn" else (3, 32, 32)


@cache
def network_in(form: str, name: str) -> tuple[nn.Module, list[Unit], Tensor]:
    """The network, its units and its unmasked logits."""
    torch.manual_seed(0)
    network = create(name, 10, shape_of(name))
    if form == "gated":
        network = insert_generators(network, MaskGenerator.for_unit, add_norm=True)
    network = randomise(network)
    return network, find_units(network), run(network, images(shape_of(name)))


@MASKS
@EVERY_FORM
@EVERY_NETWORK
def test_extracted_equals_masked(name: str, form: str, density: float, seed: int) -> None:
    """To 1e-5, times the largest logit where that is above 1: float32 rounds relative to a value's size."""
    (network, units, unmasked), shape = network_in(form, name), shape_of(name)
    mask = random_mask(units, density, seed)
    batch = images(shape)
    masked = run(hard_masked(network, mask), batch)[:, CLASSES]
    extraction = extract(network, mask, classes=CLASSES, input_shape=shape)
    scale = max(1.0, float(masked.abs().max()))
    torch.testing.assert_close(run(extraction.network, batch), masked, atol=1e-5 * scale, rtol=0)
    assert extraction.notes == ()
    assert mask.retention_rate() == pytest.approx(density, abs=0.05)
    if density == ALL_NEURONS:
        torch.testing.assert_close(masked, unmasked[:, CLASSES], atol=0, rtol=0)
    else:
        assert float((masked - unmasked[:, CLASSES]).abs().max()) > 1e-4
