"""The project's property: for each registered network, form and mask, the cut equals the masked network."""

from functools import lru_cache

import pytest
import torch
from torch import Tensor, nn

from core.architectures import create, names
from core.surgery.extraction import extract
from core.surgery.masking import hard_masked, insert_generators
from core.units import Unit, find_units
from tests.fixtures.networks import images, make_generator, random_mask, randomise, run

CLASSES = (7, 0, 3)
FORMS = ("static", "gated")
ONE_NEURON, HALF, ALL_NEURONS = 0.0, 0.5, 1.0
# One density tells most; the rest of the grid takes minutes for the wide networks.
SMALL = ("small_cnn", "lenet5", "resnet18")
CASES = [
    pytest.param(
        name, form, density, id=f"{name}-{form}-{density}",
        marks=[] if name in SMALL or (density == HALF and name != "resnet34") else [pytest.mark.slow],
    )
    for name in names() for form in FORMS for density in (ONE_NEURON, HALF, ALL_NEURONS)
]  # fmt: skip


def shape_of(name: str) -> tuple[int, int, int]:
    return (1, 8, 8) if name == "small_cnn" else (3, 32, 32)


@lru_cache(maxsize=2)
def network_in(form: str, name: str) -> tuple[nn.Module, list[Unit], Tensor]:
    """The network, its units and its unmasked logits."""
    torch.manual_seed(0)
    network = create(name, 10, shape_of(name))
    if form == "gated":
        network = insert_generators(network, make_generator, add_norm=True)
    network = randomise(network)
    return network, find_units(network), run(network, images(shape_of(name)))


@pytest.mark.parametrize(("name", "form", "density"), CASES)
def test_extracted_equals_masked(name: str, form: str, density: float) -> None:
    """To 1e-5, times the largest logit where that is above 1: float32 rounds relative to a value's size."""
    (network, units, unmasked), shape = network_in(form, name), shape_of(name)
    mask = random_mask(units, density, seed=int(10 * density) + 1)
    batch = images(shape)
    masked = run(hard_masked(network, mask), batch)[:, CLASSES]
    extraction = extract(network, mask, classes=CLASSES, input_shape=shape)
    scale = max(1.0, float(masked.abs().max()))
    torch.testing.assert_close(run(extraction.network, batch), masked, atol=1e-5 * scale, rtol=0)
    assert extraction.notes == ()
    assert mask.retention_rate() == pytest.approx(density, abs=0.05 if len(units) > 1 else 0.2)
    if density == ALL_NEURONS:
        torch.testing.assert_close(masked, unmasked[:, CLASSES], atol=0, rtol=0)
    else:
        assert float((masked - unmasked[:, CLASSES]).abs().max()) > 1e-4 * scale
