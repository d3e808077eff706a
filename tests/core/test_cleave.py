"""`recipe: cleave`: what is trained is what will be cut."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, fx

from core.approaches import create_approach
from core.approaches.class_gates import (
    ClassGate,
    GateBank,
    class_gates,
    draw_class_sets,
    gates_with_scores,
    normalise_score_gradients,
    unit_retention,
)
from core.architectures import create
from core.artifacts import RECIPE, WEIGHTS, Recipe, load_network, save_network
from core.composition.union import ModuleOptions, build_module, default_form
from core.datasets import ImageData, batches, load_dataset
from core.specs import CleaveSpec
from core.surgery.masking import has_generators
from core.units import find_units
from tests.core.training_runs import run, spec_of
from tests.fixtures.blocks import Unaffine

CPU = torch.device("cpu")
SHAPE = (1, 8, 8)
SPEC = CleaveSpec(retention=0.25)


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load_dataset("digits", None)


@pytest.fixture(scope="module")
def trained(digits: ImageData, tmp_path_factory: pytest.TempPathFactory) -> fx.GraphModule:
    """A few steps: the gates have moved, and batch normalisation has statistics."""
    result = run(spec_of(SPEC), digits, tmp_path_factory.mktemp("cleave"))
    assert result.network is not None
    return result.network


def first_batches(digits: ImageData) -> Iterator[tuple[Tensor, Tensor]]:
    return batches(digits.train.first(100), digits.info, 50, device=CPU)


class TestClassSets:
    def test_each_holds_its_samples_class_and_has_two_or_more(self) -> None:
        labels = torch.arange(1000) % 10
        members = draw_class_sets(labels, 10, 0.0, torch.Generator().manual_seed(0))
        assert members[torch.arange(1000), labels].all()
        sizes = members.sum(dim=1)
        assert sizes.min() == 2
        # Uniform: each of the nine sizes about 111 times; five standard deviations are 50.
        assert all(abs(int((sizes == size).sum()) - 111) < 50 for size in range(2, 11))

    def test_the_other_members_are_drawn_evenly(self) -> None:
        members = draw_class_sets(
            torch.zeros(4000, dtype=torch.int64), 10, 0.0, torch.Generator().manual_seed(1)
        )
        often = members[:, 1:].float().mean(dim=0)
        assert often.std() < 0.03

    def test_whole_sets_come_as_often_as_asked(self) -> None:
        members = draw_class_sets(
            torch.zeros(2000, dtype=torch.int64), 10, 0.5, torch.Generator().manual_seed(0)
        )
        whole = members.all(dim=1).float().mean()
        assert whole == pytest.approx(0.5 + 0.5 / 9, abs=0.05)

    def test_two_classes_are_always_both(self) -> None:
        labels = torch.tensor([0, 1, 1])
        assert draw_class_sets(labels, 2, 0.0, torch.Generator().manual_seed(0)).all()


class TestClassGate:
    def gate(self) -> ClassGate:
        gate = ClassGate(3, 8, 0.25)
        with torch.no_grad():
            gate.scores.copy_(torch.eye(3, 8) + 0.5 * torch.eye(3, 8).roll(1, dims=1))
        return gate

    def test_a_class_keeps_its_best_neurons(self) -> None:
        assert self.gate().class_masks().nonzero()[:, 1].tolist() == [0, 1, 1, 2, 2, 3]

    def test_a_sample_gets_the_union_of_its_set(self) -> None:
        gate = self.gate()
        GateBank([gate]).fill(torch.tensor([[True, False, False], [True, False, True]]))
        masks = gate(torch.zeros(2, 4, 5, 5))
        assert masks.tolist() == [[1, 1, 0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0, 0, 0]]

    def test_gradients_reach_the_scores_of_the_set_only(self) -> None:
        gate = self.gate()
        GateBank([gate]).fill(torch.tensor([[True, False, True]]))
        gate(torch.zeros(1, 4)).sum().backward()
        assert gate.scores.grad is not None
        assert (gate.scores.grad[[0, 2]] > 0).all()
        assert (gate.scores.grad[1] == 0).all()

    def test_units_side_by_side_keep_what_each_keeps_alone(self) -> None:
        torch.manual_seed(0)
        gates = [ClassGate(4, width, 0.3) for width in (7, 32, 5)]
        with torch.no_grad():
            gates[1].scores[2] = 1.0  # of equal scores the first
        together = torch.split(GateBank(gates).class_masks(), [7, 32, 5], dim=1)
        for gate, masks in zip(gates, together, strict=True):
            assert torch.equal(masks, gate.class_masks())
            assert masks.sum(dim=1).tolist() == [gate.kept] * 4
            assert (
                gate.scores[masks].view(4, -1).amin(dim=1) >= gate.scores[~masks].view(4, -1).amax(dim=1)
            ).all()
        assert together[1][2].nonzero().flatten().tolist() == list(range(gates[1].kept))

    def test_evaluation_asks_about_all_classes(self) -> None:
        gate = self.gate().eval()
        GateBank([gate]).fill(torch.tensor([[True, False, False]] * 5))
        assert gate(torch.zeros(5, 4)).tolist() == [[1, 1, 1, 1, 0, 0, 0, 0]] * 5

    def test_early_units_keep_more(self) -> None:
        shares = [unit_retention(0.16, position, 5) for position in range(5)]
        assert shares[0] == pytest.approx(0.4)
        assert shares[-1] == pytest.approx(0.16)
        assert shares == sorted(shares, reverse=True)
        assert unit_retention(0.16, 0, 1) == pytest.approx(0.4)

    def test_score_gradients_have_one_size_whatever_the_loss(self) -> None:
        network = create_approach(SPEC).attach(create("small_cnn", 10, SHAPE), 10)
        for number, gate in enumerate(gates_with_scores(network)):
            gate.scores.grad = torch.randn_like(gate.scores) * 10.0 ** (-3 * number)
        normalise_score_gradients(network)
        sizes = [gate.scores.grad.square().mean().sqrt().item() for gate in gates_with_scores(network)]  # type: ignore[union-attr]  # set above
        assert sizes == pytest.approx([0.06] * 5)


class TestTrainedNetwork:
    def test_statistics_give_the_masks_of_the_gates_at_any_threshold(
        self, trained: fx.GraphModule, digits: ImageData
    ) -> None:
        approach = create_approach(SPEC)
        statistics = approach.statistics(trained, first_batches(digits), 10)
        gates = [gate for _, gate in class_gates(trained)]
        for threshold in (0.05, 0.9, 1.0):
            derivation = approach.derive(statistics, [3, 5], threshold)
            for unit, gate in zip(find_units(trained), gates, strict=True):
                assert torch.equal(derivation.mask[unit.name], gate.class_masks()[[3, 5]].any(dim=0))
            assert derivation.notes == ()
        assert statistics.count.tolist() == digits.train.first(100).labels.bincount(minlength=10).tolist()

    def test_finishing_changes_no_output_and_leaves_a_plain_network(
        self, trained: fx.GraphModule, digits: ImageData
    ) -> None:
        images, _ = next(first_batches(digits))
        finished = create_approach(SPEC).finish(trained)
        torch.testing.assert_close(finished(images), trained(images))
        plain = create("small_cnn", 10, SHAPE).state_dict()
        assert {k: v.shape for k, v in finished.state_dict().items()} == {
            k: v.shape for k, v in plain.items()
        }
        assert not has_generators(finished)
        assert default_form(finished) == "static"

    def test_a_module_computes_what_the_training_computed_for_its_set(
        self, trained: fx.GraphModule, digits: ImageData
    ) -> None:
        """In training mode but with the running statistics: the set's masks, then the set's logits."""
        approach, classes = create_approach(SPEC), [2, 7, 8]
        statistics = approach.statistics(trained, first_batches(digits), 10)
        images, _ = next(first_batches(digits))
        members = torch.zeros(len(images), 10, dtype=torch.bool)
        members[:, classes] = True
        gates = [gate.train() for _, gate in class_gates(trained)]
        GateBank(gates).fill(members)
        with torch.no_grad():
            expected = trained(images)[:, classes]
        trained.eval()
        mask = approach.derive(statistics, classes, 0.9).mask
        module = build_module(approach.finish(trained), mask, classes, SHAPE, ModuleOptions("static")).network
        torch.testing.assert_close(module.eval()(images), expected, atol=1e-5, rtol=1e-5)
        assert not torch.allclose(approach.finish(trained)(images)[:, classes], expected, atol=1e-2)

    def test_folding_adds_no_key_that_a_rebuilt_network_lacks(self) -> None:
        """A norm without parameters gets some when unused neurons are zeroed."""
        approach = create_approach(SPEC)
        finished = approach.finish(approach.attach(Unaffine(), 4))
        assert {"norm.weight", "norm.bias"} <= finished.state_dict().keys()
        approach.trained(Unaffine(), 4).load_state_dict(finished.state_dict(), strict=True)

    def test_it_is_rebuilt_from_its_recipe(
        self, trained: fx.GraphModule, digits: ImageData, tmp_path: Path
    ) -> None:
        finished = create_approach(SPEC).finish(trained)
        names = list(digits.info.class_names)
        recipe = Recipe(
            architecture="small_cnn", model_classes=names, classes=names, input_shape=SHAPE,
            mean=[0.3], std=[0.4], approach=SPEC, dataset="digits", dataset_digest=digits.digest, seed=7,
            train_samples=96, versions={},
        )  # fmt: skip
        save_network(finished, recipe, tmp_path)
        loaded = load_network(tmp_path / RECIPE, tmp_path / WEIGHTS)
        images, _ = next(first_batches(digits))
        assert torch.equal(loaded.network(images), finished(images))
        assert loaded.recipe.approach == SPEC


@pytest.mark.parametrize(("name", "shared"), [("nemo", 2.25), ("mwt", 1.0), ("moda", 1.0)])
def test_the_objective_is_the_methods_own_on_class_masks(name: str, shared: float, digits: ImageData) -> None:
    """Ten classes with identical scores: NeMo's loss of identical masks (2.25), MwT's full coupling."""
    spec = CleaveSpec.model_validate({"name": name, "alpha": 0.5})
    approach = create_approach(spec)
    network = approach.attach(create("small_cnn", 10, SHAPE), 10)
    for gate in gates_with_scores(network):
        with torch.no_grad():
            gate.scores.copy_(gate.scores[:1].expand_as(gate.scores))
    labels = digits.train.labels[:20]
    approach.prepare(network, labels, slice(None), torch.Generator().manual_seed(0))
    loss = approach.loss(torch.zeros(20, 10), {}, labels)
    assert loss.terms["modularity"].item() == pytest.approx(shared, abs=0.01)
    assert loss.total.item() == pytest.approx(torch.tensor(10.0).log().item() + 0.5 * shared, abs=0.01)
