"""Learning from a teacher: the loss by hand, in training, and to the same bits after a resume."""

import copy
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from core.approaches import LossTerms, create_approach
from core.architectures import create
from core.architectures.distillation import recorded_heads
from core.artifacts import Recipe, StoredNetwork
from core.datasets import ImageData, load_dataset
from core.distillation import Distillation, kl_divergence, teacher_of
from core.errors import ArtifactError
from core.seeding import seeded
from core.specs import ApproachSpec, CleaveSpec, ModaSpec, MwtSpec, NemoSpec, StandardSpec, TrainSpec
from core.surgery.tracing import trace_copy
from core.trainer import Trainer
from tests.core.test_resume import assert_same_bits, enlarged
from tests.core.training_runs import CPU, after, last_checkpoint, run, spec_of

TEACHER = torch.tensor([[1.0, 0.0, 2.0], [0.0, 3.0, -1.0]])
HEADS = [torch.tensor([[0.5, 0.0, 0.0], [1.0, 1.0, 1.0]]), torch.tensor([[0.0, 2.0, 0.0], [0.0, 1.0, 0.0]])]
LABELS = torch.tensor([2, 1])
APPROACHES = [CleaveSpec(alpha=0.5), NemoSpec(), MwtSpec(), ModaSpec(), StandardSpec()]


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load_dataset("digits", None)


def network(seed: int = 1, architecture: str = "small_cnn") -> nn.Module:
    with seeded(CPU, seed):
        return create(architecture, 10, (1, 8, 8)).eval()


def taught(approach: ApproachSpec | None = None, **changes: object) -> TrainSpec:
    return spec_of(approach or StandardSpec(), teacher_model_id="mdl_1", **changes)


def softmax(row: Tensor) -> list[float]:
    powers = [math.exp(value) for value in row.tolist()]
    return [power / sum(powers) for power in powers]


def kl_by_hand(teacher: Tensor, student: Tensor) -> float:
    rows = zip(map(softmax, teacher), map(softmax, student), strict=True)
    return sum(sum(p * math.log(p / q) for p, q in zip(*row, strict=True)) for row in rows) / len(teacher)


def cross_entropy_by_hand(logits: Tensor) -> float:
    return sum(-math.log(softmax(row)[label]) for row, label in zip(logits, LABELS.tolist(), strict=True)) / 2


class TestLoss:
    def test_divergence_is_that_of_the_student_from_the_teacher(self) -> None:
        found = kl_divergence(TEACHER, HEADS[0]).item()
        assert found == pytest.approx(kl_by_hand(TEACHER, HEADS[0]))
        assert found != pytest.approx(kl_by_hand(HEADS[0], TEACHER))
        assert kl_divergence(TEACHER, TEACHER + 5).item() == pytest.approx(0, abs=1e-6)

    @pytest.mark.parametrize("weight", [0.5, 0.3, 1.0])
    @pytest.mark.parametrize("heads", [HEADS, HEADS[:1]], ids=["two heads", "one head"])
    def test_formula(self, heads: list[Tensor], weight: float) -> None:
        """With two heads and 0.5: CE / 2 + (KL + KL) / 4, as NeMo's code has it for DeiT."""
        plain = LossTerms(torch.tensor(7.0), {"task": torch.tensor(3.0), "contrastive": torch.tensor(2.0)})
        found = Distillation(nn.Identity(), weight, CPU).loss(plain, [TEACHER, *heads], LABELS)
        task = cross_entropy_by_hand(heads[0])
        distance = sum(kl_by_hand(TEACHER, head) for head in heads) / len(heads)
        assert found.total.item() == pytest.approx(7 - 3 + (1 - weight) * task + weight * distance)
        assert {name: value.item() for name, value in found.terms.items()} == pytest.approx(
            {"task": task, "distillation": distance, "contrastive": 2.0}
        )

    @pytest.mark.parametrize("spec", APPROACHES, ids=lambda spec: f"{spec.name}-{spec.recipe}")
    def test_every_approach_has_the_task_loss_with_weight_one(self, spec: ApproachSpec) -> None:
        """What is replaced must be in the total exactly once."""
        approach, labels = create_approach(spec), torch.tensor([3, 1, 3, 0])
        student = approach.attach(network(), 10).train()
        with approach.recorded(student) as masks:
            approach.prepare(student, labels, slice(0, 4), torch.Generator())
            logits = student(torch.randn(4, 1, 8, 8))
            loss = approach.loss(logits, masks, labels)
        assert torch.autograd.grad(loss.total, loss.terms["task"])[0].item() == 1
        assert loss.terms["task"].item() == pytest.approx(nn.functional.cross_entropy(logits, labels).item())


class TestTraining:
    @pytest.mark.parametrize("architecture", ["small_cnn", "deit_small"])
    def test_a_step_learns_by_each_head_of_the_student_from_the_images_it_saw(
        self, architecture: str, digits: ImageData
    ) -> None:
        """One step from the first weights: its figures and its gradient, computed once more."""
        spec = taught(batch_size=8, max_train_samples=16, distillation_weight=0.3)
        spec = spec.model_copy(update={"architecture": architecture})
        trainer, teacher = Trainer(spec, digits, CPU, network()), network()
        student = copy.deepcopy(trainer.network)
        with trainer.running():
            images, labels = next(trainer.remaining_batches())
            trainer.train_on(images, labels)
        if architecture == "deit_small":
            with recorded_heads(student) as recorded:
                student(images)
            heads = [recorded["head"], recorded["distillation_head"]]
        else:
            heads = [student(images)]
        task = nn.functional.cross_entropy(heads[0], labels)
        distance = torch.stack([kl_divergence(teacher(images), head) for head in heads]).mean()
        total = 0.7 * task + 0.3 * distance
        total.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        found = {name: trainer.tally.means()[name] for name in ("loss", "loss_task", "loss_distillation")}
        assert found == pytest.approx(
            {"loss": total.item(), "loss_task": task.item(), "loss_distillation": distance.item()}, rel=1e-5
        )
        for name, parameter in student.named_parameters():
            given = trainer.network.get_parameter(name).grad
            torch.testing.assert_close(given, parameter.grad, atol=1e-6, rtol=1e-4)

    def test_the_teacher_does_not_change(self, digits: ImageData, tmp_path: Path) -> None:
        teacher = network().train()
        before = copy.deepcopy(teacher.state_dict())
        run(taught(epochs=1), digits, tmp_path, teacher=teacher)
        assert not teacher.training
        assert all(parameter.grad is None for parameter in teacher.parameters())
        assert [name for name, value in teacher.state_dict().items() if not value.equal(before[name])] == []

    def test_pieces_of_a_batch_learn_what_the_whole_does(self, digits: ImageData, tmp_path: Path) -> None:
        data, states = enlarged(digits), []
        for pieces in (1, 3):
            spec = taught(batch_size=10, max_train_samples=20, gradient_accumulation=pieces, epochs=1)
            spec = spec.model_copy(update={"architecture": "lenet5", "dataset": "mnist"})
            with seeded(CPU, 1):
                teacher = create("lenet5", 10, (1, 32, 32))
            states.append(run(spec, data, tmp_path, teacher=teacher).state)
        for name, value in states[0].items():
            torch.testing.assert_close(states[1][name], value, atol=1e-6, rtol=1e-4)

    @pytest.mark.parametrize("steps", [1, 3, 5])
    def test_it_resumes_with_the_same_bits(self, steps: int, digits: ImageData, tmp_path: Path) -> None:
        spec = taught(NemoSpec(), epochs=2)
        whole = run(spec, digits, tmp_path / "whole", teacher=network())
        first = run(spec, digits, tmp_path, teacher=network(), should_stop=after(steps))
        resume = tmp_path / last_checkpoint(first).path
        second = run(spec, digits, tmp_path, teacher=network(), resume=resume)
        assert_same_bits(whole, second)
        assert first.metrics + second.metrics == whole.metrics

    @pytest.mark.parametrize("spec", [taught(), spec_of()])
    def test_a_teacher_and_a_spec_without_each_other_are_refused(
        self, spec: TrainSpec, digits: ImageData, tmp_path: Path
    ) -> None:
        teacher = None if spec.teacher_model_id else network()
        with pytest.raises(ArtifactError, match="teacher_model_id"):
            run(spec, digits, tmp_path, teacher=teacher)


class TestTeacher:
    @pytest.fixture
    def stored(self, digits: ImageData) -> StoredNetwork:
        names = list(digits.info.class_names)
        recipe = Recipe(
            architecture="small_cnn", model_classes=names, classes=names, input_shape=(1, 8, 8), mean=[0.0],
            std=[1.0], approach=StandardSpec(), dataset="digits", dataset_digest=digits.digest, seed=0,
            train_samples=1, versions={},
        )  # fmt: skip
        return StoredNetwork(trace_copy(network()), recipe)

    def test_of_the_same_data_and_classes(self, stored: StoredNetwork, digits: ImageData) -> None:
        assert teacher_of(stored, digits) is stored.network

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"dataset_digest": "0" * 64}, "digests"),
            ({"classes": ["1", "0", *"23456789"]}, "same order"),
            ({"classes": list("012")}, "classes"),
        ],
    )
    def test_of_other_data_or_classes_is_refused(
        self, change: dict[str, object], words: str, stored: StoredNetwork, digits: ImageData
    ) -> None:
        other = replace(stored, recipe=stored.recipe.model_copy(update=change))
        with pytest.raises(ArtifactError, match=words):
            teacher_of(other, digits)
