"""MODA as published: losses on the outputs of ReLU layers, modules from how often those are above zero."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.approaches import create_approach
from core.approaches.firing import recorded_firing
from core.architectures import create
from core.errors import UntraceableModelError
from core.specs import ModaSpec
from core.statistics import ClassStatistics

RGB = (3, 32, 32)


def test_every_relu_counts_with_its_mean_over_places() -> None:
    approach = create_approach(ModaSpec())
    network = approach.attach(create("lenet5", 10, RGB), 10)
    images = torch.randn(2, *RGB)
    with approach.recorded(network) as activations:
        network(images)
    assert [tuple(value.shape) for value in activations.values()] == [(2, 6), (2, 16), (2, 120), (2, 84)]
    first = torch.relu(network.get_submodule("conv1")(images)).mean(dim=(2, 3))
    torch.testing.assert_close(next(iter(activations.values())), first)


def test_the_loss_by_hand() -> None:
    """Rows (1, 0) and (0, 2) of one class, (3, 0) of another: cosines 0 (same), 1 and 0 (different)."""
    activations = {"relu": torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]])}
    logits, labels = torch.randn(3, 2), torch.tensor([0, 0, 1])
    loss = create_approach(ModaSpec(alpha=2.0, beta=3.0, gamma=0.5)).loss(logits, activations, labels)
    assert loss.terms["affinity"].item() == pytest.approx(1.0)
    assert loss.terms["dispersion"].item() == pytest.approx(0.5)
    assert loss.terms["compactness"].item() == pytest.approx(1.0)
    expected = F.cross_entropy(logits, labels) + 2 * 1.0 + 3 * 0.5 + 0.5 * 1.0
    torch.testing.assert_close(loss.total, expected)


def test_a_neuron_before_a_residual_sum_fires_with_the_sum() -> None:
    """MODA masks a block's second convolution and its projection by the ReLU behind the addition."""
    network = create_approach(ModaSpec()).attach(create("resnet18", 10, RGB), 10).eval()
    norm = network.get_submodule("layer2.0.bn2")
    assert isinstance(norm, nn.BatchNorm2d)
    with torch.no_grad():
        norm.bias.fill_(-1.0)
        network.get_submodule("layer2.0.downsample.bn").get_parameter("bias").fill_(1000.0)
    images = torch.randn(2, *RGB)
    with torch.no_grad():
        with recorded_firing(network, behind_sums=True) as fired:
            network(images)
        with recorded_firing(network, behind_sums=False) as own:
            network(images)
    unit = "layer2.0.conv2"
    assert fired[unit].all()
    assert torch.equal(fired[unit], fired["layer2.0.downsample.conv"])
    assert not own[unit].all()
    torch.testing.assert_close(fired["layer2.0.conv1"], own["layer2.0.conv1"])


def test_a_unit_that_a_class_leaves_almost_empty_gets_as_many_as_the_fullest_class() -> None:
    firing = torch.zeros(3, 400, dtype=torch.float64)
    firing[0, :5] = 10  # class 0 fires five neurons always
    firing[1, 7], firing[1, 9] = 8, 6  # class 1 none often enough: floor of two
    firing[2, :3] = 10
    statistics = ClassStatistics(torch.tensor([10.0, 10, 10]).double(), {"u": firing}, {"u": firing})
    derive = create_approach(ModaSpec()).derive
    assert derive(statistics, [0], 0.9).mask.kept("u").tolist() == [0, 1, 2, 3, 4]
    repaired = derive(statistics, [1], 0.9)
    assert len(repaired.mask.kept("u")) == 5
    assert {7, 9} <= set(repaired.mask.kept("u").tolist())
    assert repaired.notes == ("u, class 1: kept the 5 most frequent neurons",)
    both = derive(statistics, [1, 2], 0.9).mask
    assert torch.equal(both["u"], repaired.mask["u"] | derive(statistics, [2], 0.9).mask["u"])


def test_a_network_without_relu_is_refused() -> None:
    with pytest.raises(UntraceableModelError, match="ReLU"):
        create_approach(ModaSpec()).attach(create("vit_small", 10, RGB), 10)


class _SharedRelu(nn.Module):
    """One ReLU layer at two places, and one as a function."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3, 3, 1) for _ in range(3))
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.convs[1](self.relu(self.convs[0](x))))
        logits: Tensor = self.head(F.relu(self.convs[2](x)).mean(dim=(2, 3)))
        return logits


def test_a_relu_called_at_several_places_counts_at_each() -> None:
    model, images = _SharedRelu().eval(), torch.randn(4, 3, 5, 5)
    approach = create_approach(ModaSpec())
    network = approach.attach(model, 2)
    assert list(network.state_dict()) == list(model.state_dict())
    with approach.recorded(network) as activations:
        torch.testing.assert_close(network(images), model(images))
    assert len(activations) == 3
    first, second, _ = activations.values()
    assert not torch.equal(first, second)
    with recorded_firing(network, behind_sums=True) as fired:
        network(images)
    torch.testing.assert_close(fired["convs.1"], (second > 0).float())
