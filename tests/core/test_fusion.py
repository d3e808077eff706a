"""A mask and the ReLU behind it as one operation: the values and gradients of the two."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.approaches import create_approach
from core.architectures import create
from core.datasets import ImageData, load_dataset
from core.fusion import fused_masks, masked_relu
from core.specs import ApproachSpec, CleaveSpec, MwtSpec
from core.surgery.layers import apply_mask
from core.trainer import Trainer
from tests.core.training_runs import spec_of

SHAPES = [(6, 5, 4, 4), (6, 3, 5), (6, 5)]  # maps, tokens, vectors


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load_dataset("digits", None)


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


def test_an_empty_share_of_a_batch_passes() -> None:
    """Of a last batch smaller than the number of processes some get nothing."""
    y, m = torch.zeros(0, 5, 4, 4, requires_grad=True), torch.ones(0, 5, requires_grad=True)
    found = gradients(masked_relu(y, m, hard=True), [y, m], torch.zeros(0, 5, 4, 4))
    assert [gradient.shape for gradient in found] == [y.shape, m.shape]


def test_a_mask_in_float32_on_maps_in_bfloat16() -> None:
    y = torch.randn(6, 5, 4, 4, dtype=torch.bfloat16, requires_grad=True)
    m = torch.rand(6, 5, requires_grad=True)
    expected, found = torch.relu(apply_mask(y, m)), masked_relu(y, m, hard=False)
    assert found.dtype is torch.bfloat16
    assert torch.equal(found, expected)
    pulled = torch.randn(found.shape).bfloat16()
    for one, other in zip(gradients(found, [y, m], pulled), gradients(expected, [y, m], pulled), strict=True):
        assert one.dtype is other.dtype
        torch.testing.assert_close(one, other, rtol=0.05, atol=0.05)


class Relus(nn.Module):
    """Every way to call one; the last layer is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.convs = nn.ModuleList(nn.Conv2d(4, 4, 1) for _ in range(6))
        self.inplace, self.twice = nn.ReLU(inplace=True), nn.ReLU()
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.convs[0](self.stem(x)), inplace=True)
        x = torch.relu(self.convs[1](x))
        x = self.convs[2](x).relu()
        x = self.inplace(self.convs[3](x))
        x = self.twice(self.convs[4](x))
        x = self.twice(self.convs[5](x))
        return self.head(x.mean(dim=(2, 3)))  # type: ignore[no-any-return]  # torch types calls as Any


def test_every_way_to_call_a_relu() -> None:
    torch.manual_seed(0)
    network = create_approach(CleaveSpec(name="nemo", retention=0.5)).attach(Relus(), 3).train()
    images = torch.randn(4, 3, 8, 8)
    expected = step(network, images)
    with fused_masks(network):
        assert sum(node.target is masked_relu for node in network.graph.nodes) == 6
        found = step(network, images)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_a_training_is_fused_while_it_runs(digits: ImageData) -> None:
    trainer = Trainer(spec_of(CleaveSpec(name="nemo")), digits, torch.device("cpu"))

    def fused() -> int:
        return sum(node.target is masked_relu for node in trainer.network.graph.nodes)

    assert fused() == 0

    def interrupted() -> None:
        with trainer.running():
            assert fused() == 5
            trainer.train_on(*next(trainer.remaining_batches()))
            assert all(p.grad is not None for p in trainer.network.parameters())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert fused() == 0
