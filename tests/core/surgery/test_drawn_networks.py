"""Networks nobody thought of: drawn from operations with and without a rule, cut at random, always exact."""

import pytest
import torch

from core.surgery.extraction import extract
from core.surgery.masking import hard_masked, insert_generators
from core.units import find_units
from tests.fixtures.drawn import Drawn
from tests.fixtures.networks import IMAGE, images, make_generator, random_mask, randomise, run

CASES = [*range(12), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(12, 300))]


@pytest.mark.parametrize("seed", CASES)
def test_extracted_equals_masked(seed: int) -> None:
    plain = randomise(Drawn(seed), seed)
    modular = randomise(insert_generators(plain, make_generator, add_norm=True), seed)
    for network in (plain.double(), modular.double()):
        units, batch = find_units(network), images(count=3).double()
        for density in (0.3, 0.7):
            mask = random_mask(units, density, seed)
            masked = run(hard_masked(network, mask), batch)[:, [2, 0]]
            small = extract(network, mask, classes=(2, 0), input_shape=IMAGE).network
            scale = max(1.0, float(masked.abs().max()))
            torch.testing.assert_close(run(small, batch), masked, atol=1e-10 * scale, rtol=0)


def test_what_is_drawn_is_worth_cutting() -> None:
    """Most networks have several units, and all operations come up."""
    drawn = [Drawn(seed) for seed in range(12)]
    assert sum(len(find_units(network)) >= 2 for network in drawn) >= 6
    operations = {name for network in drawn for name, _, _ in network._steps}
    assert {"layer", "concatenation", "sum", "product"} <= operations
    assert len(operations) >= 15
