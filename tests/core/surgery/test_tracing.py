"""Tracing: what is refused, what is kept, and in-place changes."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import spectral_norm, weight_norm
from torch.nn.utils.prune import l1_unstructured

from core.errors import InputShapeError, UntraceableModelError
from core.surgery.tracing import trace, value_shapes
from tests.fixtures.networks import IMAGE, NETWORKS, Chain, FlattenChain, Residual, images, randomise, run


class DataDependent(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:  # the line the message names
            return x
        return -x


class TwoInputs(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


class TwoOutputs(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


def prune_half(layer: nn.Module) -> None:
    l1_unstructured(layer, "weight", 0.5)  # type: ignore[no-untyped-call]  # torch leaves it untyped


class TestRefusals:
    def test_data_dependent_control_flow_names_the_line(self) -> None:
        with pytest.raises(UntraceableModelError, match=r"test_tracing\.py, line \d+ \(if x\.sum\(\) > 0:"):
            trace(DataDependent())

    @pytest.mark.parametrize(("model", "words"), [(TwoInputs(), "2 inputs"), (TwoOutputs(), "one tensor")])
    def test_only_one_tensor_in_and_out(self, model: nn.Module, words: str) -> None:
        with pytest.raises(UntraceableModelError, match=words):
            trace(model)

    @pytest.mark.filterwarnings("ignore::FutureWarning")
    @pytest.mark.parametrize("wrap", [weight_norm, spectral_norm, prune_half])
    def test_weights_that_a_hook_computes(self, wrap: Callable[[nn.Module], object]) -> None:
        model = Chain()
        wrap(model[3].requires_grad_(False))  # frozen, it could be copied: the hook would then undo a cut
        with pytest.raises(UntraceableModelError, match=r"weight of layer '3' .* or use torch\.nn\.utils"):
            trace(model)

    def test_images_the_network_cannot_take(self) -> None:
        with pytest.raises(InputShapeError, match=r"\(3, 9, 30\)"):
            value_shapes(trace(FlattenChain()), (3, 9, 30))


@pytest.mark.parametrize("name", NETWORKS)
def test_computes_the_same_bits(name: str) -> None:
    model = randomise(NETWORKS[name]())
    assert torch.equal(run(trace(model), images()), run(model, images()))


@pytest.mark.parametrize("training", [True, False])
def test_keeps_names_and_modes(training: bool) -> None:
    model = Residual().train(training)
    model.norm.eval()
    traced = trace(model)
    assert {name for name, _ in traced.named_parameters()} == {name for name, _ in model.named_parameters()}
    assert {name: layer.training for name, layer in traced.named_modules()} == {
        name: layer.training for name, layer in model.named_modules()
    }


class OldName(nn.Module):
    """`z += x` changes y as well, and nobody reads z; an integer of two names stays what it was."""

    def forward(self, x: Tensor) -> Tensor:
        y = x * 2
        z = y
        z += x
        nn.functional.relu(y, inplace=True)
        count = more = x.size(0)
        more += 1
        return y * count


def test_changes_in_place_reach_every_name() -> None:
    batch = torch.tensor([[1.0], [-1.0]])
    assert run(OldName(), batch).tolist() == [[6.0], [0.0]]
    assert torch.equal(run(trace(OldName()), batch), run(OldName(), batch))
    assert torch.equal(run(trace(trace(OldName())), batch), run(OldName(), batch))


def test_shapes_are_those_of_two_images() -> None:
    shapes = {node.name: shape for node, shape in value_shapes(trace(Chain()), IMAGE).items()}
    assert shapes["_3"] == (2, 8, 8, 8)
    assert shapes["output"] == (2, 4)


def test_shapes_leave_a_training_network_as_it_was() -> None:
    """Running statistics must not see the zero images that the shapes come from."""
    network = trace(Chain().train())
    network.get_submodule("4").eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    modes = {name: layer.training for name, layer in network.named_modules()}
    value_shapes(network, IMAGE)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert {name: layer.training for name, layer in network.named_modules()} == modes
