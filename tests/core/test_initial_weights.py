"""Starting from a stored network: what is taken over, what is fresh, and the same bits after a resume."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core.approaches import create_approach
from core.architectures import create
from core.artifacts import Recipe, StoredNetwork
from core.datasets import ImageData, as_seen_by, load_dataset
from core.errors import ArtifactError, InitialModelMismatchError
from core.initial_weights import InitialWeights, initial_of
from core.reports import LogReport, MetricReport
from core.seeding import seeded
from core.specs import ApproachSpec, CleaveSpec, ModaSpec, MwtSpec, NemoSpec, StandardSpec, TrainSpec
from core.trainer import Trainer
from tests.core.test_resume import assert_same_bits
from tests.core.training_runs import CPU, after, last_checkpoint, run, spec_of

HEAD = ["head.weight", "head.bias"]
DIGITS = [str(digit) for digit in range(10)]


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load_dataset("digits", None)


def stored(
    approach: ApproachSpec | None = None, names: list[str] = DIGITS, architecture: str = "small_cnn"
) -> StoredNetwork:
    """A network of weights that no training here begins with."""
    made, shape = create_approach(approach or StandardSpec()), (1, 8, 8)
    with seeded(CPU, 99):
        network = made.trained(create(architecture, len(names), shape), len(names)).eval()
        for value in network.state_dict().values():
            value.add_(torch.rand(value.shape).to(value.dtype))
    recipe = Recipe(
        architecture=architecture, model_classes=names, classes=names, input_shape=shape, mean=[0.0],
        std=[1.0], approach=approach or StandardSpec(), dataset=None, dataset_digest=None, seed=None,
        train_samples=None, versions={}, weights_sha256="a" * 64,
    )  # fmt: skip
    return StoredNetwork(network, recipe)


def started(approach: ApproachSpec | None = None, **changes: Any) -> TrainSpec:
    return spec_of(approach or StandardSpec(), initial_model_id="mdl_1", **changes)


def before_the_first_step(
    spec: TrainSpec, data: ImageData, initial: InitialWeights | None
) -> dict[str, Tensor]:
    return Trainer(spec, data, CPU, initial=initial).network.state_dict()


@pytest.mark.parametrize("approach", [CleaveSpec(), NemoSpec(), MwtSpec(), ModaSpec(), StandardSpec()])
def test_every_approach_takes_the_plain_network_and_generates_masks_anew(
    approach: ApproachSpec, digits: ImageData
) -> None:
    source, spec = stored(), started(approach)
    initial = initial_of(source, spec, digits)
    begun = before_the_first_step(spec, digits, initial)
    fresh = before_the_first_step(spec_of(approach), digits, None)
    plain = source.network.state_dict()
    assert [name for name, value in plain.items() if not torch.equal(begun[name], value)] == []
    assert [name for name in begun.keys() - plain.keys() if not torch.equal(begun[name], fresh[name])] == []
    assert any("normalisation" in message for message in initial.messages())
    assert initial.report.model_dump() == {
        "model_id": "mdl_1", "weights_sha256": "a" * 64, "taken": len(plain), "head": "taken", "new": [],
        "left": 0, "same_normalisation": False,
    }  # fmt: skip


def test_of_a_modular_model_the_network_itself_is_taken(digits: ImageData) -> None:
    source, spec = stored(NemoSpec()), started(NemoSpec())
    initial = initial_of(source, spec, digits)
    begun = before_the_first_step(spec, digits, initial)
    for name, value in source.network.state_dict().items():
        assert torch.equal(begun[name], value) != name.startswith("mask_generators."), name
    assert (initial.report.new, initial.report.left > 0) == ([], True)
    assert any("not taken" in message for message in initial.messages())


class TestHead:
    def test_the_same_classes_in_another_order_keep_their_outputs(self, digits: ImageData) -> None:
        backwards = DIGITS[::-1]
        initial = initial_of(stored(names=backwards), started(), digits)
        assert initial.report.head == "taken"
        for name in HEAD:
            theirs = stored(names=backwards).network.state_dict()[name]
            assert torch.equal(initial.tensors[name], theirs.flip(0))

    @pytest.mark.parametrize("names", [DIGITS[:4], [*DIGITS[:9], "ten"]])
    def test_of_other_classes_it_starts_fresh_and_that_is_said(
        self, names: list[str], digits: ImageData
    ) -> None:
        spec = started()
        initial = initial_of(stored(names=names), spec, digits)
        assert (initial.report.head, initial.report.new) == ("new", HEAD)
        begun, fresh = (
            before_the_first_step(s, digits, i) for s, i in ((spec, initial), (spec_of(StandardSpec()), None))
        )
        assert all(torch.equal(begun[name], fresh[name]) for name in HEAD)
        assert not torch.equal(begun["blocks.0.conv.weight"], fresh["blocks.0.conv.weight"])
        assert any("head starts fresh" in message for message in initial.messages())

    def test_of_a_few_of_the_classes_too(self, digits: ImageData) -> None:
        few = as_seen_by(digits, DIGITS[:3], digits.info.mean, digits.info.std)
        assert initial_of(stored(), started(), few).report.new == HEAD


def test_another_architecture_is_refused(digits: ImageData) -> None:
    spec = started().model_copy(update={"architecture": "vit_small"})
    with pytest.raises(InitialModelMismatchError, match="small_cnn"):
        initial_of(stored(), spec, digits)


@pytest.mark.parametrize("spec", [started(), spec_of()])
def test_weights_and_a_spec_without_each_other_are_refused(spec: TrainSpec, digits: ImageData) -> None:
    initial = None if spec.initial_model_id else initial_of(stored(), started(), digits)
    with pytest.raises(ArtifactError, match="initial_model_id"):
        Trainer(spec, digits, CPU, initial=initial)


def test_the_curves_begin_with_the_initial_network(digits: ImageData, tmp_path: Path) -> None:
    source = stored()
    found = run(started(epochs=1), digits, tmp_path, initial=initial_of(source, started(), digits))
    first = found.of(MetricReport)[0].metrics
    info, images = digits.info, digits.validation.images.float() / 255
    logits = source.network((images - info.mean[0]) / info.std[0])
    right = (logits.argmax(dim=1) == digits.validation.labels).double().mean().item()
    assert [(m.name, m.split, m.epoch) for m in first] == [(n, "validation", 0) for n in ("loss", "accuracy")]
    assert first[1].value == pytest.approx(right)
    assert "mdl_1" in found.of(LogReport)[0].message


@pytest.mark.parametrize("steps", [1, 3, 5])
def test_it_resumes_with_the_same_bits(steps: int, digits: ImageData, tmp_path: Path) -> None:
    spec = started(NemoSpec(), epochs=2)
    initial = initial_of(stored(), spec, digits)
    whole = run(spec, digits, tmp_path / "whole", initial=initial)
    first = run(spec, digits, tmp_path, initial=initial, should_stop=after(steps))
    resume = tmp_path / last_checkpoint(first).path
    # A resumed attempt goes by its checkpoint, whatever the model is now.
    other = InitialWeights({name: value + 1 for name, value in initial.tensors.items()}, initial.report)
    second = run(spec, digits, tmp_path, initial=other, resume=resume)
    assert_same_bits(whole, second)
    assert first.metrics + second.metrics == whole.metrics
