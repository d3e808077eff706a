"""Extraction from ten-line networks: exact, as small as the rules allow, and honest about what it kept."""

import copy

import pytest
import torch
from torch import Tensor, nn

from core.errors import ClassNotInModelError, EmptyUnitError, MaskMismatchError, UntraceableModelError
from core.masks import ModuleMask
from core.surgery.extraction import Extraction, extract
from core.surgery.layers import ChannelGather, ChannelScatter
from core.surgery.masking import (
    fold_amplitudes,
    hard_masked,
    insert_generators,
    remove_generators,
)
from core.units import find_units
from tests.fixtures.networks import (
    IMAGE,
    NETWORKS,
    CalledTwice,
    Chain,
    Concatenated,
    ConvolutionalHead,
    Depthwise,
    FlattenChain,
    PreActivation,
    Residual,
    SigmoidGate,
    UnknownOperation,
    UnusedParameter,
    images,
    make_generator,
    random_mask,
    randomise,
    run,
)

EVERY_FORM = pytest.mark.parametrize("form", ["plain", "gated"])
EVERY_NETWORK = pytest.mark.parametrize("name", NETWORKS)


def network_in(form: str, name: str) -> nn.Module:
    model = randomise(NETWORKS[name]())
    if form == "plain":
        return model
    modular = randomise(insert_generators(model, make_generator, add_norm=True), seed=4)
    return modular if form == "gated" else remove_generators(modular)


def mask_without(model: nn.Module, **dropped: list[int]) -> ModuleMask:
    """Everything but the named neurons; __ stands for a dot."""
    mask = dict(ModuleMask.full(find_units(model)))
    for unit, neurons in dropped.items():
        mask[unit.replace("__", ".")][neurons] = False
    return ModuleMask(mask)


def cut(model: nn.Module, mask: ModuleMask, classes: tuple[int, ...] = (0, 1, 2, 3)) -> Extraction:
    return extract(model, mask, classes=classes, input_shape=IMAGE)


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def assert_metadata_in_step(network: nn.Module) -> None:
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            assert layer.weight.shape[:2] == (layer.out_channels, layer.in_channels // layer.groups)
        elif isinstance(layer, nn.Linear):
            assert layer.weight.shape == (layer.out_features, layer.in_features)
        elif isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.weight.shape == layer.running_mean.shape == (layer.num_features,)


class TestExactness:
    @EVERY_FORM
    @EVERY_NETWORK
    def test_equals_the_masked_network(self, name: str, form: str) -> None:
        network = network_in(form, name).double()
        batch, moved = images(count=8).double(), 0.0
        full = ModuleMask.full(find_units(network))
        for density in (0.0, 0.5, 0.8):
            mask = random_mask(find_units(network), density, seed=2)
            masked = run(hard_masked(network, mask), batch)
            small = cut(network, mask, (2, 0, 3)).network
            torch.testing.assert_close(run(small, batch), masked[:, [2, 0, 3]], atol=1e-12, rtol=1e-10)
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


class TestStructure:
    def test_chain_shrinks_on_both_sides(self) -> None:
        model = randomise(Chain())
        small = cut(model, mask_without(model, **{"3": [0, 5, 7], "7": [4]}), (3,)).network
        shapes = {name: tuple(value.shape) for name, value in small.named_parameters() if value.dim() > 1}
        assert shapes == {
            "0.weight": (6, 3, 3, 3), "3.weight": (5, 6, 3, 3), "7.weight": (4, 5, 3, 3), "12.weight": (1, 4),
        }  # fmt: skip

    def test_flatten_repeats_each_channel_per_pixel(self) -> None:
        model = randomise(FlattenChain())
        small = cut(model, mask_without(model, features__3=[1, 4])).network
        per_channel = model.hidden.weight.reshape(7, 5, 16)
        assert torch.equal(small.get_parameter("hidden.weight"), per_channel[:, [0, 2, 3]].flatten(1))

    def test_a_sum_holds_what_either_operand_holds(self) -> None:
        model = randomise(Residual())
        small = cut(model, mask_without(model, first=[0, 1, 2, 3], second=[3, 4, 5])).network
        after, second = small.get_parameter("after.weight"), small.get_parameter("second.weight")
        assert torch.equal(after, model.after.weight[:, [0, 1, 2, 4, 5, 6, 7, 8]])
        assert torch.equal(second, model.second.weight[[0, 1, 2, 6, 7, 8]][:, 4:])
        scatters = [layer for layer in small.modules() if isinstance(layer, ChannelScatter)]
        assert {(layer.index.numel(), layer.width) for layer in scatters} == {(5, 8), (6, 8)}

    def test_a_concatenation_holds_both_sets_in_order(self) -> None:
        model = randomise(Concatenated())
        extraction = cut(model, mask_without(model, left__0=[1], right__0=[0, 6]))
        columns = [0, 2, 3, 5, 6, 7, 8, 9]
        assert torch.equal(extraction.network.get_parameter("after.weight"), model.after.weight[:, columns])
        assert extraction.notes == ()

    def test_a_gated_product_holds_what_both_operands_hold(self) -> None:
        model = randomise(SigmoidGate())
        extraction = cut(model, mask_without(model, features__3=[2, 3]))
        gathers = [layer for layer in extraction.network.modules() if isinstance(layer, ChannelGather)]
        assert [layer.index.tolist() for layer in gathers] == [[0, 1, 4, 5, 6, 7]]
        assert extraction.network.get_submodule("after").in_channels == 6
        assert extraction.notes == ()

    def test_generators_shrink_with_their_units(self) -> None:
        modular = network_in("gated", "Chain")
        small = cut(modular, mask_without(modular, **{"3": [0, 5, 7], "7": [4]})).network
        widths = [small.get_parameter(f"mask_generators.7.{layer}.weight").shape for layer in (2, 4)]
        assert widths == [(2, 5), (4, 2)]
        assert not any(isinstance(layer, ChannelGather) for layer in small.modules())

    def test_unused_parameters_are_left_behind(self) -> None:
        model = randomise(UnusedParameter())
        names = {name for name, _ in cut(model, mask_without(model)).network.named_parameters()}
        assert names == {name for name, _ in model.named_parameters()} - {"unused"}


class TestPins:
    """Where an absent channel could change the function, it stays; the report says where and why."""

    def test_normalisation_outside_a_unit(self) -> None:
        model = randomise(PreActivation())
        extraction = cut(model, mask_without(model, left=[0, 1], right=[0, 2]))
        assert extraction.notes == (
            "add stays at 8 channels for norm: batch normalisation outside a unit turns zero into a constant",
        )
        assert extraction.network.get_submodule("after").in_channels == 8
        assert extraction.network.get_submodule("left").out_channels == 6

    def test_operations_without_a_rule(self) -> None:
        model = randomise(UnknownOperation())
        notes = cut(model, mask_without(model, conv=[0, 1])).notes
        assert notes == (
            "conv stays at 8 channels for softplus: no rule says that softplus keeps absent channels zero",
            "conv stays at 8 channels for mean: it reduces over channels",
        )

    def test_a_layer_called_twice_on_different_channels(self) -> None:
        model = randomise(CalledTwice())
        extraction = cut(model, mask_without(model, left=[0, 1], right=[2]))
        assert [note.split(":")[0] for note in extraction.notes] == [
            "left stays at 8 channels for shared",
            "right stays at 8 channels for shared",
        ]
        assert extraction.network.get_submodule("shared").in_channels == 8

    def test_grouped_convolutions(self) -> None:
        model = randomise(Depthwise())
        extraction = cut(model, mask_without(model, expand__0=[0, 1], project=[3]))
        assert extraction.notes == (
            "expand.2 stays at 8 channels for depthwise: grouped convolutions are not cut",
        )
        assert extraction.network.get_submodule("head").in_features == 4

    def test_a_gated_unit_goes_by_its_layers_name(self) -> None:
        modular = network_in("gated", "UnknownOperation")
        notes = cut(modular, mask_without(modular, conv=[0])).notes
        assert notes[0].startswith("mask_norms.conv stays at 8 channels for softplus")

    def test_units_that_write_the_logits(self) -> None:
        model = randomise(ConvolutionalHead())
        extraction = cut(model, mask_without(model, classify=[1]), (1, 2))
        assert extraction.notes == ("truediv stays at 4 channels for output: the network returns them",)
        logits = run(extraction.network, images())
        assert torch.equal(logits[:, 0], torch.zeros(2))
        assert logits[:, 1].abs().min() > 0


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
