"""Hidden Linear layers over vectors: units of some methods, whole for the others."""

import pytest
import torch
from torch import nn

from core.approaches import create_approach
from core.approaches.class_gates import unit_retention
from core.architectures import create
from core.evaluation import parameter_count
from core.masks import ModuleMask
from core.specs import ApproachSpec, CleaveSpec, ModaSpec, MwtSpec, NemoSpec, StandardSpec
from core.surgery.extraction import extract
from core.surgery.masking import fold_amplitudes, hard_masked
from core.units import find_units
from tests.fixtures.networks import images, random_mask, randomise, run
from tests.fixtures.vectors import HiddenNorms

SHAPE = (3, 8, 8)


def statistics_units(spec: ApproachSpec) -> list[str]:
    """The units that a method's statistics of a LeNet-5 speak of."""
    approach = create_approach(spec)
    network = approach.attach(create("lenet5", 4, (1, 16, 16)), 4)
    batch = images((1, 16, 16), count=4), torch.arange(4)
    return list(approach.statistics(network, [batch], 4).firing)


@pytest.mark.parametrize(
    "spec",
    [CleaveSpec(name="nemo"), CleaveSpec(name="mwt"), ModaSpec(), StandardSpec()],
)
def test_are_units_of_these(spec: ApproachSpec) -> None:
    assert statistics_units(spec) == ["conv2", "fc1", "fc2"]


@pytest.mark.parametrize("spec", [NemoSpec(), MwtSpec()])
def test_are_whole_as_published_for_these(spec: ApproachSpec) -> None:
    assert statistics_units(spec) == ["conv2"]


def test_the_first_layer_is_none() -> None:
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(192, 9), nn.ReLU(), nn.Linear(9, 8), nn.ReLU(), nn.Linear(8, 4)
    )
    assert [(unit.name, unit.hidden) for unit in find_units(model)] == [("3", True)]


def test_stay_whole_under_a_mask_that_leaves_them_out() -> None:
    """Such are the masks of models from before hidden layers were units, and those of MwT and NeMo."""
    network = randomise(HiddenNorms())
    mask = ModuleMask({"conv": random_mask(find_units(network), 0.5)["conv"]})
    amplitudes = {"conv": torch.rand(5)}
    extraction = extract(fold_amplitudes(network, amplitudes), mask, classes=range(4), input_shape=SHAPE)
    expected = run(hard_masked(network, mask, amplitudes), images(SHAPE))
    torch.testing.assert_close(run(extraction.network, images(SHAPE)), expected)
    assert "first.0 is whole: it has no mask" in extraction.report().splitlines()
    assert extraction.network.get_parameter("first.0.weight").shape[0] == 8


def test_neurons_without_a_use_go_with_their_normalisation() -> None:
    network = randomise(HiddenNorms())
    mask = ModuleMask(dict(ModuleMask.full(find_units(network))) | {"first.0": torch.arange(8) < 3})
    cut = extract(network, mask, classes=range(4), input_shape=SHAPE).network
    assert cut.get_parameter("first.0.weight").shape[0] == cut.get_parameter("first.1.weight").shape[0] == 3
    assert cut.get_parameter("second.weight").shape == (7, 3)


@pytest.mark.parametrize(
    ("retention", "with_them", "without"), [(0.25, 11.3, 11.8), (0.15, 5.2, 6.3), (0.1, 2.8, 4.2)]
)
def test_what_they_take_from_one_class_of_vgg16(retention: float, with_them: float, without: float) -> None:
    """The figures of docs/method.md, in per cent of the parameters; which neurons are kept is no matter."""
    network = create("vgg16", 10, (3, 32, 32))
    for hidden, percent in ((True, with_them), (False, without)):
        units = [unit for unit in find_units(network) if hidden or not unit.hidden]
        shares = [unit_retention(retention, position, len(units)) for position in range(len(units))]
        mask = ModuleMask(
            {
                unit.name: torch.arange(unit.width) < round(share * unit.width)
                for unit, share in zip(units, shares, strict=True)
            }
        )
        cut = extract(network, mask, classes=[0], input_shape=(3, 32, 32)).network
        assert 100 * parameter_count(cut) / parameter_count(network) == pytest.approx(percent, abs=0.06)


@pytest.mark.parametrize(("name", "percent"), [("vgg16", 89), ("alexnet", 96)])
def test_what_they_hold_of_torchvisions_networks(name: str, percent: int) -> None:
    with torch.device("meta"):
        network = create(f"torchvision:{name}", 10, (3, 224, 224))
        hidden = [network.get_submodule(unit.name) for unit in find_units(network) if unit.hidden]
    assert 100 * sum(map(parameter_count, hidden)) / parameter_count(network) == pytest.approx(
        percent, abs=0.5
    )
