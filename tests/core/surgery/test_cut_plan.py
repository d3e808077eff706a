"""One analysis, many cuts: each is the cut made alone, and none shares anything with the network."""

import copy

import pytest
import torch
from torch import nn

from core.surgery.extraction import CutPlan
from core.surgery.masking import fold_amplitudes, remove_generators
from core.units import find_units
from tests.core.surgery.cutting import cut, network_in
from tests.fixtures.networks import IMAGE, NETWORKS, images, random_mask, randomise, run


def tensors(network: nn.Module) -> set[int]:
    return {value.data_ptr() for value in network.state_dict().values() if value.numel()}


@pytest.mark.parametrize("form", ["plain", "gated"])
@pytest.mark.parametrize("name", NETWORKS)
def test_cuts_of_one_plan_are_those_made_alone(name: str, form: str) -> None:
    network = network_in(form, name)
    before = copy.deepcopy(network.state_dict())
    plan, made = CutPlan(network, IMAGE), []
    for seed, density in ((1, 0.3), (2, 0.7)):
        mask = random_mask(find_units(network), density, seed=seed)
        made.append(plan.extract(mask, classes=(2, 0)))
        alone = cut(network, mask, (2, 0))
        assert made[-1].report() == alone.report()
        assert list(made[-1].network.state_dict()) == list(alone.network.state_dict())
        assert torch.equal(run(made[-1].network, images()), run(alone.network, images()))
    first, second = (extraction.network for extraction in made)
    assert not tensors(first) & tensors(second)
    assert not (tensors(first) | tensors(second)) & tensors(network)
    layers = {id(layer) for layer in network.modules()}
    assert not layers & {id(layer) for part in (first, second) for layer in part.modules()}
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_amplitudes_folded_while_cutting_are_those_folded_before() -> None:
    network = remove_generators(network_in("gated", "Residual"))  # type: ignore[arg-type]  # traced by construction
    units = find_units(network)
    amplitudes = {unit.name: torch.rand(unit.width) + 0.5 for unit in units}
    mask = random_mask(units, 0.5)
    plan = CutPlan(network, IMAGE)
    folded = plan.extract(mask, classes=(1, 3), amplitudes=amplitudes).network
    expected = cut(fold_amplitudes(network, amplitudes), mask, (1, 3)).network
    assert torch.equal(run(folded, images()), run(expected, images()))
    plain = plan.extract(mask, classes=(1, 3)).network  # the first cut left no trace
    assert torch.equal(run(plain, images()), run(cut(network, mask, (1, 3)).network, images()))
    assert not torch.allclose(run(plain, images()), run(folded, images()))


class Tied(nn.Module):
    """Guards: two layers with one parameter keep one, in the cut too."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3, padding=1)
        self.norm, self.other = nn.GroupNorm(2, 6), nn.GroupNorm(3, 6)
        self.other.weight = self.norm.weight
        self.head = nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.conv(self.other(self.norm(self.stem(x)).relu())).relu().mean((2, 3)))  # type: ignore[no-any-return]  # torch's annotation


def test_a_tied_parameter_stays_one() -> None:
    network = randomise(Tied())
    module = cut(network, random_mask(find_units(network), 0.5)).network
    assert module.get_parameter("norm.weight") is module.get_parameter("other.weight")
    assert module.get_parameter("norm.weight") is not network.norm.weight
