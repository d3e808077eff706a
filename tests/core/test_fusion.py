"""A mask and the ReLU behind it as one operation: the values and gradients of the two."""

import pytest
import torch
from torch import Tensor, nn

from core.approaches import create_approach
from core.architectures import create
from core.fusion import fused_masks, masked_relu
from core.specs import ApproachSpec, CleaveSpec, MwtSpec
from core.surgery.layers import apply_mask

SHAPES = [(6, 5, 4, 4), (6, 3, 5), (6, 5)]  # maps, tokens, vectors


def gradients(of: Tensor, inputs: list[Tensor], pulled: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(of, inputs, pulled, allow_unused=True))


@pytest.mark.parametrize("shape", SHAPES, ids=["maps", "tokens", "vectors"])
@pytest.mark.parametrize("hard", [True, False], ids=["hard", "soft"])
def test_values_and_gradients_are_those_of_mask_and_relu(
    shape: tuple[int, ...], hard: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.fusion._CACHED", 50)  # the sum over places in several pieces
    random = torch.Generator().manual_seed(3)
    y = torch.randn(shape, generator=random, requires_grad=True)
    m = torch.rand(6, 5, generator=random) - 0.3
    m = ((m > 0).float() if hard else m.clamp_min(0)).requires_grad_()
    pulled = torch.randn(shape, generator=random)
    expected, found = torch.relu(apply_mask(y, m)), masked_relu(y, m, hard=hard)
    assert torch.equal(found, expected)
    for one, other in zip(gradients(found, [y, m], pulled), gradients(expected, [y, m], pulled), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("approach", [CleaveSpec(name="nemo"), MwtSpec()], ids=["gates", "generators"])
@pytest.mark.parametrize("architecture", ["small_cnn", "resnet18"])
def test_a_network_computes_the_same_and_gets_its_graph_back(
    architecture: str, approach: ApproachSpec
) -> None:
    torch.manual_seed(0)
    network = create_approach(approach).attach(create(architecture, 4, (3, 32, 32)), 4).train()
    before, names = network.code, [name for name, _ in network.named_parameters()]
    images = torch.randn(8, 3, 32, 32)
    expected = step(network, images)
    with fused_masks(network):
        # Behind a residual sum the ReLU is not the mask's reader.
        fused = [node for node in network.graph.nodes if node.target is masked_relu]
        plain = [node for node in network.graph.nodes if node.target is apply_mask]
        found = step(network, images)
        assert [name for name, _ in network.named_parameters()] == names
    assert len(fused) == (5 if architecture == "small_cnn" else 8)
    assert (len(plain) > 0) == (architecture == "resnet18")
    assert {node.kwargs["hard"] for node in fused} == {isinstance(approach, CleaveSpec)}
    assert network.code == before
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def step(network: nn.Module, images: Tensor) -> list[Tensor]:
    """Logits and all gradients."""
    network.zero_grad()
    logits = network(images)
    logits.square().sum().backward()
    return [logits.detach(), *(p.grad.clone() for p in network.parameters() if p.grad is not None)]
