"""Each method attaches what the paper says, weighs its losses, and counts what fires."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.approaches import create_approach
from core.approaches.generators import MaskGenerator
from core.approaches.losses import mwt_losses, nemo_contrastive
from core.architectures import create
from core.datasets import ImageData, batches, load_dataset
from core.specs import ApproachSpec, MwtSpec, NemoSpec, StandardSpec
from core.surgery.masking import recorded_masks
from core.units import find_units

CPU = torch.device("cpu")
RGB = (3, 32, 32)
# name -> masked layers, masked kernels (research figures of MwT's models).
MASKED = {"vgg16": (12, 4160), "simcnn": (12, 4160), "rescnn": (11, 4224), "resnet18": (19, 4736)}


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load_dataset("digits", None)


class TestGenerator:
    @pytest.mark.parametrize(("width", "hidden"), [(64, 64), (127, 127), (128, 64), (512, 256)])
    def test_the_hidden_layer_is_halved_from_128(self, width: int, hidden: int) -> None:
        shapes = {name: tuple(p.shape) for name, p in MaskGenerator(32, width).named_parameters()}
        assert shapes == {
            "reduce.weight": (hidden, 32), "expand.weight": (width, hidden), "expand.bias": (width,),
        }  # fmt: skip

    def test_it_computes_the_published_formula(self) -> None:
        torch.manual_seed(0)
        generator, x = MaskGenerator(6, 9), torch.randn(4, 6, 5, 5)
        w1, w2, b = (parameter.detach() for parameter in generator.parameters())
        expected = torch.relu(torch.tanh(torch.relu(x.mean(dim=(2, 3)) @ w1.T) @ w2.T + b))
        torch.testing.assert_close(generator(x), expected)

    def test_it_starts_with_most_neurons_on(self) -> None:
        torch.manual_seed(0)
        generator = MaskGenerator(64, 512)
        assert generator.get_parameter("expand.bias").eq(1.0).all()
        assert generator.get_parameter("reduce.weight").std().item() == pytest.approx(
            (2 / 64) ** 0.5, rel=0.05
        )
        assert generator.get_parameter("expand.weight").std().item() == pytest.approx(
            (2 / 256) ** 0.5, rel=0.05
        )
        on = (generator(torch.randn(256, 64, 4, 4)) > 0).float().mean().item()
        assert 0.7 < on < 1


class TestAttach:
    @pytest.mark.parametrize("name", MASKED)
    def test_masked_layers_and_kernels_are_the_published_ones(self, name: str) -> None:
        network = create_approach(MwtSpec()).attach(create(name, 10, RGB), 10)
        with recorded_masks(network) as masks, torch.no_grad():
            network.eval()(torch.randn(1, *RGB))
        assert (len(masks), sum(mask.shape[1] for mask in masks.values())) == MASKED[name]

    @pytest.mark.parametrize(("name", "millions"), [("vgg16", 1.73), ("resnet18", 1.59), ("rescnn", 1.87)])
    def test_generators_have_the_published_size(self, name: str, millions: float) -> None:
        units = find_units(create(name, 10, RGB))
        made = [MaskGenerator.for_unit(unit) for unit in units if not unit.hidden]
        total = sum(p.numel() for generator in made for p in generator.parameters())
        assert total / 1e6 == pytest.approx(millions, abs=0.006)

    def test_resnet_units_follow_the_blocks(self) -> None:
        names = [unit.name for unit in find_units(create("resnet18", 10, RGB))]
        assert names[4:7] == ["layer2.0.conv1", "layer2.0.conv2", "layer2.0.downsample.conv"]

    def test_the_modular_form_of_a_plain_net_has_normalisation(self) -> None:
        modular = create_approach(MwtSpec()).attach(create("rescnn", 10, RGB), 10)
        assert sum(isinstance(layer, nn.BatchNorm2d) for layer in modular.modules()) == 11

    def test_standard_adds_nothing_and_shares_nothing(self) -> None:
        model = create("small_cnn", 10, (1, 8, 8))
        network = create_approach(StandardSpec()).attach(model, 10)
        assert network.state_dict().keys() == model.state_dict().keys()
        with torch.no_grad():
            network.get_parameter("head.bias").fill_(9)
        assert not model.get_parameter("head.bias").eq(9).any()


class TestLoss:
    logits, labels = torch.randn(6, 3), torch.tensor([0, 0, 1, 1, 2, 2])

    def masks(self) -> dict[str, Tensor]:
        return {"first": torch.rand(6, 4).requires_grad_(), "second": torch.rand(6, 5).requires_grad_()}

    def test_mwt_weighs_cohesion_and_coupling(self) -> None:
        masks = self.masks()
        loss = create_approach(MwtSpec(alpha=0.5, beta=1.5)).loss(self.logits, masks, self.labels)
        cohesion, coupling = mwt_losses(list(masks.values()), self.labels)
        task = F.cross_entropy(self.logits, self.labels)
        torch.testing.assert_close(loss.total, task + 0.5 * cohesion + 1.5 * coupling)
        assert loss.terms.keys() == {"task", "cohesion", "coupling"}

    def test_nemo_leaves_the_first_unit_alone_as_published(self) -> None:
        masks = self.masks()
        loss = create_approach(NemoSpec(alpha=1.3)).loss(self.logits, masks, self.labels)
        ones = [torch.ones(6, 4), masks["second"]]
        expected = F.cross_entropy(self.logits, self.labels) + 1.3 * nemo_contrastive(ones, self.labels, 0.2)
        torch.testing.assert_close(loss.total, expected)
        gradients = torch.autograd.grad(loss.total, list(masks.values()), allow_unused=True)
        assert [gradient is None for gradient in gradients] == [True, False]

    def test_nemo_can_take_the_first_unit_in(self) -> None:
        masks = self.masks()
        spec = NemoSpec(first_unit_in_loss=True, temperature=0.4, zero_terms=False, self_term=False)
        loss = create_approach(spec).loss(self.logits, masks, self.labels)
        expected = nemo_contrastive(list(masks.values()), self.labels, 0.4, zero_terms=False, self_term=False)
        torch.testing.assert_close(loss.terms["contrastive"], expected)

    def test_standard_is_cross_entropy(self) -> None:
        loss = create_approach(StandardSpec()).loss(self.logits, {}, self.labels)
        torch.testing.assert_close(loss.total, F.cross_entropy(self.logits, self.labels))


class TestStatistics:
    @pytest.mark.parametrize("spec", [MwtSpec(), NemoSpec(), StandardSpec()])
    def test_one_pass_counts_every_sample_of_every_unit(self, spec: ApproachSpec, digits: ImageData) -> None:
        approach = create_approach(spec)
        network = approach.attach(create("small_cnn", 10, (1, 8, 8)), 10)
        split = digits.train.first(200)
        statistics = approach.statistics(network, batches(split, digits.info, 64, device=CPU), 10)
        assert statistics.count.tolist() == split.labels.bincount(minlength=10).tolist()
        assert list(statistics.firing) == [unit.name for unit in find_units(network)]
        assert network.training
        assert not any(layer._forward_hooks for layer in network.modules())

    def test_masks_are_those_of_eval_mode(self, digits: ImageData) -> None:
        """Batch statistics would make a sample's mask depend on its batch."""
        approach = create_approach(NemoSpec())
        network = approach.attach(create("small_cnn", 10, (1, 8, 8)), 10)
        split = digits.train.first(64)
        statistics = approach.statistics(network, batches(split, digits.info, 16, device=CPU), 10)
        with recorded_masks(network.eval()) as masks, torch.no_grad():
            network(next(batches(split, digits.info, 64, device=CPU))[0])
        for unit, mask in masks.items():
            own = mask[split.labels == 3].double()
            torch.testing.assert_close(statistics.firing[unit][3], (own > 0).double().sum(dim=0))
            torch.testing.assert_close(statistics.amplitude[unit][3], own.sum(dim=0))

    def test_a_standard_neuron_fires_when_its_relu_is_on_somewhere(self, digits: ImageData) -> None:
        approach = create_approach(StandardSpec())
        network = approach.attach(create("small_cnn", 10, (1, 8, 8)), 10)
        norm = network.get_submodule("blocks.0.norm")
        assert isinstance(norm, nn.BatchNorm2d)
        with torch.no_grad():
            norm.bias[:4] = -1000
            norm.bias[4:8] = 1000
        split = digits.train.first(50)
        statistics = approach.statistics(network, batches(split, digits.info, 25, device=CPU), 10)
        fired = statistics.firing["blocks.0.conv"].sum(dim=0)
        assert fired[:8].tolist() == [0.0] * 4 + [50.0] * 4
        assert torch.equal(statistics.firing["blocks.0.conv"], statistics.amplitude["blocks.0.conv"])

    def test_derivation_names_the_units_of_the_network(self, digits: ImageData) -> None:
        approach = create_approach(NemoSpec())
        network = approach.attach(create("small_cnn", 10, (1, 8, 8)), 10)
        split = digits.train.first(100)
        statistics = approach.statistics(network, batches(split, digits.info, 50, device=CPU), 10)
        mask = approach.derive(statistics, [3, 5], 0.9).mask
        assert {name: len(mask[name]) for name in mask} == {
            unit.name: unit.width for unit in find_units(network)
        }
        assert 0 < mask.retention_rate() <= 1
