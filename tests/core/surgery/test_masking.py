"""Masks in networks, against an oracle that knows nothing of graphs: hooks on the original model's layers."""

import copy
from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor, fx, nn

from core.errors import MaskMismatchError
from core.masks import ModuleMask
from core.surgery.masking import (
    fold_amplitudes,
    hard_masked,
    insert_generators,
    recorded_masks,
    remove_generators,
)
from core.units import Unit, find_units
from tests.fixtures.blocks import NormActs, Unaffine
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

Change = Callable[[Unit, Tensor, Tensor], Tensor]
EVERY_NETWORK = pytest.mark.parametrize("name", NETWORKS)


def changed_by_hooks(model: nn.Module, change: Change, batch: Tensor) -> Tensor:
    """The model's output where each unit's output y becomes change(unit, y, input of its convolution)."""
    model = copy.deepcopy(model)
    inputs: dict[str, Tensor] = {}

    def keep_input(unit: Unit) -> Callable[..., None]:
        return lambda _layer, args: inputs.__setitem__(unit.name, args[0].clone())

    def replace(unit: Unit) -> Callable[..., Tensor]:
        return lambda _layer, _args, y: change(unit, y, inputs[unit.name])

    for unit in find_units(model):
        model.get_submodule(unit.name).register_forward_pre_hook(keep_input(unit))
        model.get_submodule(unit.norm or unit.name).register_forward_hook(replace(unit))
    return run(model, batch)


def spread(unit: Unit, factors: Tensor) -> Tensor:
    """A factor per neuron for the unit's output of one image: tokens and vectors have their channels last."""
    if unit.hidden:
        return factors
    return factors[None, :] if unit.tokens else factors[:, None, None]


def amplitudes_of(model: nn.Module) -> dict[str, Tensor]:
    return {unit.name: torch.linspace(0.2, 0.9, unit.width) for unit in find_units(model)}


class TestHardMasks:
    @EVERY_NETWORK
    def test_multiply_each_units_output(self, name: str) -> None:
        model = randomise(NETWORKS[name]())
        mask, scale = random_mask(find_units(model), 0.5), amplitudes_of(model)

        def change(unit: Unit, y: Tensor, _x: Tensor) -> Tensor:
            return y * spread(unit, mask[unit.name] * scale[unit.name])

        expected = changed_by_hooks(model, change, images())
        assert not torch.allclose(expected, run(model, images()))
        torch.testing.assert_close(run(hard_masked(model, mask, scale), images()), expected)

    @EVERY_NETWORK
    def test_full_mask_changes_nothing(self, name: str) -> None:
        model = randomise(NETWORKS[name]())
        masked = hard_masked(model, ModuleMask.full(find_units(model)))
        torch.testing.assert_close(run(masked, images()), run(model, images()), rtol=0, atol=0)

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"first": None}, "nothing is said about unit 'first'"),
            ({"stem.0": torch.ones(6, dtype=torch.bool)}, "no unit 'stem.0'"),
            ({"second": torch.ones(7, dtype=torch.bool)}, "'second' has 9 neurons"),
        ],
    )
    def test_refuses_a_mask_of_another_network(self, change: Mapping[str, Tensor | None], words: str) -> None:
        model = Residual()
        wanted = {**ModuleMask.full(find_units(model)), **change}
        mask = ModuleMask({name: kept for name, kept in wanted.items() if kept is not None})
        with pytest.raises(MaskMismatchError, match=words):
            hard_masked(model, mask)


class TestGenerators:
    @EVERY_NETWORK
    def test_mask_each_units_output_by_its_convolutions_input(self, name: str) -> None:
        model = randomise(NETWORKS[name]())
        modular = randomise(insert_generators(model, make_generator, add_norm=False), seed=5)
        plain = remove_generators(modular)  # the model with the weights that randomise drew

        def change(unit: Unit, y: Tensor, x: Tensor) -> Tensor:
            generator = modular.get_submodule(f"mask_generators.{unit.name.replace('.', '__')}")
            return y * torch.stack([spread(unit, m) for m in generator(x)])

        expected = changed_by_hooks(plain, change, images())
        assert not torch.allclose(expected, run(plain, images()))
        torch.testing.assert_close(run(modular, images()), expected)

    def test_added_norms_act_between_convolution_and_mask(self) -> None:
        modular = randomise(insert_generators(randomise(Residual()), make_generator, add_norm=True), seed=5)
        norms = [unit.norm for unit in find_units(modular)]
        assert norms == ["mask_norms.first", "norm", "mask_norms.after"]
        without = find_units(insert_generators(Residual(), make_generator, add_norm=False))
        assert [unit.norm for unit in without] == [None, "norm", None]

    def test_no_norm_is_added_before_one_of_another_kind(self) -> None:
        modular = insert_generators(NormActs(), make_generator, add_norm=True)
        assert [unit.norm for unit in find_units(modular)] == [None, "mask_norms.second"]

    @EVERY_NETWORK
    def test_removal_restores_the_model(self, name: str) -> None:
        model = randomise(NETWORKS[name]())
        restored = remove_generators(insert_generators(model, make_generator, add_norm=False))
        assert torch.equal(run(restored, images()), run(model, images()))
        assert not any("mask_" in key for key in restored.state_dict())

    def test_added_norms_stay_when_generators_go(self) -> None:
        modular = randomise(insert_generators(Residual(), make_generator, add_norm=True))
        restored = remove_generators(modular)
        kept = {key.split(".")[1] for key in restored.state_dict() if key.startswith("mask_")}
        assert kept == {"first", "after"}

    def test_refuses_a_second_generator(self) -> None:
        modular = insert_generators(Chain(), make_generator, add_norm=False)
        with pytest.raises(MaskMismatchError, match="already"):
            insert_generators(modular, make_generator, add_norm=False)

    @pytest.mark.parametrize("training", [True, False])
    def test_copies_the_model_in_its_mode(self, training: bool) -> None:
        model = Residual().train(training)
        before = copy.deepcopy(model.state_dict())
        modular = insert_generators(model, make_generator, add_norm=True)
        assert {layer.training for layer in modular.modules()} == {training}
        modular.train()(images())
        assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())

    def test_follows_the_dtype_of_the_model(self) -> None:
        modular = insert_generators(Residual().double(), make_generator, add_norm=True)
        assert run(modular.eval(), images().double()).dtype == torch.float64


class TestRecordedMasks:
    @EVERY_NETWORK
    def test_one_mask_per_unit_in_unit_order(self, name: str) -> None:
        modular = randomise(insert_generators(NETWORKS[name](), make_generator, add_norm=True))
        with recorded_masks(modular) as masks:
            modular(images(count=3))
            assert {unit: tuple(mask.shape) for unit, mask in masks.items()} == {
                unit.name: (3, unit.width) for unit in find_units(modular)
            }
            assert list(masks) == [unit.name for unit in find_units(modular)]

    def test_gradients_reach_the_generators(self) -> None:
        modular = randomise(insert_generators(Residual(), make_generator, add_norm=True))
        with recorded_masks(modular) as masks:
            modular(images())
            torch.autograd.backward([mask.sum() for mask in masks.values()])
        generators = modular.get_submodule("mask_generators")
        assert all(parameter.grad is not None for parameter in generators.parameters())

    def test_refilled_by_each_forward_and_only_inside(self) -> None:
        modular = randomise(insert_generators(Chain(), make_generator, add_norm=True))
        with recorded_masks(modular) as masks:
            modular(images(seed=1))
            first = dict(masks)
            modular(images(seed=2))
            second = dict(masks)
        modular(images(seed=3))
        assert all(first[unit] is not second[unit] for unit in first)
        assert all(masks[unit] is second[unit] for unit in masks)

    def test_a_network_without_generators_has_no_masks(self) -> None:
        network: fx.GraphModule = remove_generators(insert_generators(Chain(), make_generator, add_norm=True))
        with recorded_masks(network) as masks:
            network(images())
        assert masks == {}


class TestAmplitudes:
    @EVERY_NETWORK
    def test_fold_into_weights(self, name: str) -> None:
        model = randomise(NETWORKS[name]())
        scale = amplitudes_of(model)
        expected = run(hard_masked(model, ModuleMask.full(find_units(model)), scale), images())
        assert not torch.allclose(expected, run(model, images()))
        torch.testing.assert_close(run(fold_amplitudes(model, scale), images()), expected)

    def test_fold_into_a_norm_without_affine_parameters(self) -> None:
        model = randomise(Unaffine())
        scale = amplitudes_of(model)
        expected = run(hard_masked(model, ModuleMask.full(find_units(model)), scale), images())
        torch.testing.assert_close(run(fold_amplitudes(model, scale), images()), expected)

    def test_refuses_amplitudes_of_another_network(self) -> None:
        with pytest.raises(MaskMismatchError):
            fold_amplitudes(Residual(), amplitudes_of(Chain()))
