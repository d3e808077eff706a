"""The project's property: for each registered network, form and mask, the cut equals the masked network."""

from functools import cache

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from core.approaches.generators import MaskGenerator
from core.architectures import create, names
from core.masks import ModuleMask
from core.surgery.extraction import extract
from core.surgery.masking import hard_masked, insert_generators
from core.units import find_units
from tests.fixtures.networks import images, random_mask, randomise, run

CLASSES = (7, 0, 3)
EVERY_NETWORK = pytest.mark.parametrize("name", names())
EVERY_FORM = pytest.mark.parametrize("form", ["static", "gated"])


def shape_of(name: str) -> tuple[int, int, int]:
    return (1, 8, 8) if name == "small_cnn" else (3, 32, 32)


@cache
def network_in(form: str, name: str) -> nn.Module:
    model = create(name, 10, shape_of(name))
    if form == "static":
        return randomise(model)
    return randomise(insert_generators(model, MaskGenerator.for_unit, add_norm=True))


@EVERY_FORM
@EVERY_NETWORK
@given(density=st.floats(0, 1), seed=st.integers(0, 2**31))
@example(density=0.0, seed=0)  # one neuron per unit
@example(density=1.0, seed=0)
@settings(max_examples=1, deadline=None, database=None)
def test_extracted_equals_masked(name: str, form: str, density: float, seed: int) -> None:
    network, shape = network_in(form, name), shape_of(name)
    mask = random_mask(find_units(network), density, seed)
    batch = images(shape, seed=seed)
    masked = run(hard_masked(network, mask), batch)[:, CLASSES]
    unmasked = run(network, batch)[:, CLASSES]
    extraction = extract(network, mask, classes=CLASSES, input_shape=shape)
    scale = max(1.0, float(masked.abs().max()))
    torch.testing.assert_close(run(extraction.network, batch) / scale, masked / scale, atol=1e-5, rtol=1e-4)
    assert extraction.notes == ()
    if mask == ModuleMask.full(find_units(network)):
        torch.testing.assert_close(masked, unmasked, atol=0, rtol=0)
    else:
        assert float((masked - unmasked).abs().max()) > 1e-4
