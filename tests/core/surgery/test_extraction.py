"""Extraction from ten-line networks: exact, repeatable, and of use afterwards."""

import copy

import pytest
import torch
from torch import Tensor, nn

from core.errors import ClassNotInModelError, EmptyUnitError, MaskMismatchError, UntraceableModelError
from core.masks import ModuleMask
from core.surgery.masking import fold_amplitudes, hard_masked, insert_generators
from core.units import find_units
from tests.core.surgery.cutting import cut, mask_without, network_in, parameters
from tests.fixtures.networks import (
    NETWORKS,
    Chain,
    Residual,
    images,
    make_generator,
    random_mask,
    randomise,
    run,
)

EVERY_FORM = pytest.mark.parametrize("form", ["plain", "gated"])
EVERY_NETWORK = pytest.mark.parametrize("name", NETWORKS)


def assert_metadata_in_step(network: nn.Module) -> None:
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            assert layer.weight.shape[:2] == (layer.out_channels, layer.in_channels // layer.groups)
        elif isinstance(layer, nn.Linear):
            assert layer.weight.shape == (layer.out_features, layer.in_features)
        elif isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_mean.shape == (layer.num_features,)
            assert not layer.affine or layer.weight.shape == (layer.num_features,)


class TestExactness:
    @EVERY_FORM
    @EVERY_NETWORK
    def test_equals_the_masked_network(self, name: str, form: str) -> None:
        network = network_in(form, name).double()
        batch, moved = images(count=9).double(), 0.0
        full = ModuleMask.full(find_units(network))
        for density in (0.0, 0.5, 0.8):
            mask = random_mask(find_units(network), density, seed=2)
            masked = run(hard_masked(network, mask), batch)
            small = cut(network, mask, (2, 0, 3)).network
            torch.testing.assert_close(run(small, batch), masked[:, [2, 0, 3]], atol=1e-12, rtol=1e-10)
            one = run(hard_masked(network, mask), batch[:1])[:, [2, 0, 3]]  # shapes are probed with two
            torch.testing.assert_close(run(small, batch[:1]), one, atol=1e-12, rtol=1e-10)
            assert_metadata_in_step(small)
            assert parameters(small) < parameters(network) or mask == full
            moved = max(moved, float((masked - run(network, batch)).abs().max()))
        assert moved > 1e-3  # masks that change nothing would prove nothing

    @EVERY_FORM
    @EVERY_NETWORK
    def test_full_mask_is_the_identity(self, name: str, form: str) -> None:
        network = network_in(form, name)
        extraction = cut(network, ModuleMask.full(find_units(network)))
        assert torch.equal(run(extraction.network, images()), run(network, images()))
        assert extraction.notes == ()
        used = parameters(network) - (3 if (form, name) == ("plain", "UnusedParameter") else 0)
        assert parameters(extraction.network) == used

    @EVERY_NETWORK
    def test_folded_amplitudes_stay_exact(self, name: str) -> None:
        network = network_in("static", name)
        units = find_units(network)
        mask, scale = random_mask(units, 0.5), {u.name: torch.linspace(0.3, 0.9, u.width) for u in units}
        torch.testing.assert_close(
            run(cut(fold_amplitudes(network, scale), mask).network, images()),
            run(hard_masked(network, mask, scale), images()),
            atol=1e-5,
            rtol=1e-4,
        )

    def test_cutting_twice_is_cutting_by_both_masks(self) -> None:
        network = network_in("gated", "Residual").double()
        units = find_units(network)
        first, second = random_mask(units, 0.8, seed=1), random_mask(units, 0.8, seed=2)
        within = ModuleMask({name: second[name][first[name]] for name in first})
        twice = cut(cut(network, first).network, within)
        expected = run(hard_masked(network, first & second), images().double())
        torch.testing.assert_close(run(twice.network, images().double()), expected, atol=1e-12, rtol=1e-10)


class TestRefusals:
    def test_a_unit_without_neurons(self) -> None:
        model = Residual()
        with pytest.raises(EmptyUnitError, match="'second'"):
            cut(model, mask_without(model, second=list(range(9))))

    def test_a_mask_of_another_network(self) -> None:
        with pytest.raises(MaskMismatchError):
            cut(Residual(), ModuleMask.full(find_units(Chain())))

    @pytest.mark.parametrize("classes", [(), (4,), (-1,)])
    def test_classes_without_a_logit(self, classes: tuple[int, ...]) -> None:
        with pytest.raises(ClassNotInModelError):
            cut(Residual(), ModuleMask.full(find_units(Residual())), classes)

    def test_a_network_without_logits(self) -> None:
        model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1))
        with pytest.raises(UntraceableModelError, match="logits"):
            cut(model, ModuleMask.full(find_units(model)))


class TestTheOriginal:
    @pytest.mark.parametrize("training", [True, False])
    def test_is_untouched_and_its_mode_carries_over(self, training: bool) -> None:
        modular = network_in("gated", "Residual").train(training)
        before = copy.deepcopy(modular.state_dict())
        small = cut(modular, random_mask(find_units(modular), 0.5)).network
        assert {layer.training for layer in small.modules()} == {training}
        for parameter in small.parameters():
            torch.nn.init.zeros_(parameter)
        assert all(torch.equal(value, before[key]) for key, value in modular.state_dict().items())

    def test_frozen_parameters_stay_frozen(self) -> None:
        model = randomise(Chain())
        model[3].requires_grad_(False)
        small = cut(model, random_mask(find_units(model), 0.5)).network
        frozen = {name for name, value in small.named_parameters() if not value.requires_grad}
        assert frozen == {"3.weight", "3.bias"}


class TestTheModule:
    """What can be done with a module: reload it, train it, record its masks, export it."""

    @EVERY_FORM
    @EVERY_NETWORK
    def test_state_dict_fits_a_cut_made_anew(self, name: str, form: str) -> None:
        network = network_in(form, name)
        mask = random_mask(find_units(network), 0.5)
        small = cut(network, mask, (3, 1)).network
        fresh = NETWORKS[name]()
        if form == "gated":
            fresh = insert_generators(fresh, make_generator, add_norm=True)
        rebuilt = cut(fresh.eval(), mask, (3, 1)).network
        assert small.state_dict().keys() <= network.state_dict().keys()
        rebuilt.load_state_dict(small.state_dict())
        assert torch.equal(run(rebuilt, images()), run(small, images()))

    @EVERY_NETWORK
    def test_gradients_reach_every_parameter(self, name: str) -> None:
        network = network_in("static", name)
        small = cut(network, random_mask(find_units(network), 0.6)).network
        outputs: Tensor = small(images())
        torch.autograd.backward(outputs.square().sum())
        assert all(parameter.grad is not None for parameter in small.parameters())

    def test_its_units_keep_their_names(self) -> None:
        modular = network_in("gated", "Residual")
        mask = random_mask(find_units(modular), 0.5)
        units = find_units(cut(modular, mask).network)
        assert {unit.name: unit.width for unit in units} == {name: int(mask[name].sum()) for name in mask}

    @pytest.mark.parametrize("name", ["Residual", "FlattenChain", "SigmoidGate"])
    def test_exports_for_any_batch(self, name: str) -> None:
        modular = network_in("gated", name)
        small = cut(modular, random_mask(find_units(modular), 0.5), (1, 3)).network
        batch = torch.export.Dim("batch", min=1, max=64)
        program = torch.export.export(small, (images(),), dynamic_shapes=({0: batch},))
        more = images(count=5, seed=2)
        torch.testing.assert_close(run(program.module(), more), run(small, more))
