"""The training loop: it learns, reports what it does, and says what goes wrong."""

import math
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from core.checkpoints import load_checkpoint, write_checkpoint
from core.datasets import ImageData, batches, load_dataset
from core.doubts import Doubts
from core.errors import TrainingDivergedError
from core.reports import CheckpointReport, LogReport, Progress
from core.results import MetricValue
from core.specs import ApproachSpec, CleaveSpec, ModaSpec, MwtSpec, NemoSpec, StandardSpec
from core.statistics import evaluating
from core.tally import EpochTally
from core.trainer import Trainer
from tests.core.training_runs import CPU, Run, after, last_checkpoint, run, spec_of


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load_dataset("digits", None)


class TestReports:
    @pytest.fixture(scope="class")
    def stored(self, digits: ImageData, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
        folder = tmp_path_factory.mktemp("stored")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("core.training._FREE_S", math.inf)  # however slow the disk is
            return run(spec_of(checkpoint_interval_s=0), digits, folder), folder

    def test_an_interval_of_zero_stores_every_step(self, stored: tuple[Run, Path]) -> None:
        result, folder = stored
        reports = result.of(CheckpointReport)
        assert [report.step for report in reports if not report.best] == list(range(1, 10))
        assert sorted(path.name for path in folder.iterdir()) == sorted(report.path for report in reports)
        for report in reports:
            load_checkpoint(folder / report.path, report.sha256)

    def test_the_end_of_an_epoch_better_than_all_before_is_stored_as_the_best(
        self, stored: tuple[Run, Path]
    ) -> None:
        result, _ = stored
        accuracy = [m.value for m in result.metrics if (m.split, m.name) == ("validation", "accuracy")]
        better = [n for n, value in enumerate(accuracy, 1) if value > max([-1.0, *accuracy[: n - 1]])]
        best = [report for report in result.of(CheckpointReport) if report.best]
        assert [(report.epoch, report.step) for report in best] == [(epoch, 3 * epoch) for epoch in better]
        assert [report.metrics for report in best] == [
            {"validation_accuracy": accuracy[epoch - 1]} for epoch in better
        ]

    def test_better_epochs_are_stored_only_while_that_takes_little_of_the_time(
        self, digits: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("core.training._FREE_S", 0.0)
        monkeypatch.setattr("core.training._SHARE", 0.0)
        result = run(spec_of(checkpoint_interval_s=3600), digits, tmp_path)
        accuracy = [m.value for m in result.metrics if (m.split, m.name) == ("validation", "accuracy")]
        assert max(accuracy) > accuracy[0]  # a later epoch was better
        assert [report.epoch for report in result.of(CheckpointReport)] == [1]

    def test_progress_begins_at_zero_and_ends_complete(self, stored: tuple[Run, Path]) -> None:
        progress = stored[0].of(Progress)
        assert (progress[0].step, progress[0].total, progress[0].epoch) == (0, 9, 1)
        assert (progress[-1].step, progress[-1].total, progress[-1].epochs) == (9, 9, 3)
        assert [p.step for p in progress] == sorted(p.step for p in progress)

    def test_curves_hold_each_term_of_each_epoch(self, stored: tuple[Run, Path]) -> None:
        found = {(metric.epoch, metric.split, metric.name) for metric in stored[0].metrics}
        train_names = ("loss", "loss_task", "loss_contrastive", "accuracy", "mask_density")
        expected = {(epoch, "train", name) for epoch in (1, 2, 3) for name in train_names}
        expected |= {(epoch, "validation", name) for epoch in (1, 2, 3) for name in ("loss", "accuracy")}
        assert found == expected

    def test_the_total_is_the_weighted_sum_of_its_terms(self, stored: tuple[Run, Path]) -> None:
        last = {metric.name: metric.value for metric in stored[0].metrics if metric.split == "train"}
        assert last["loss"] == pytest.approx(last["loss_task"] + 1.3 * last["loss_contrastive"], rel=1e-5)

    def test_the_network_comes_back_ready_for_use(self, stored: tuple[Run, Path]) -> None:
        network = stored[0].network
        assert network is not None
        assert not any(layer.training for layer in network.modules())
        assert not any(layer._forward_hooks for layer in network.modules())


def test_another_seed_trains_another_network(digits: ImageData, tmp_path: Path) -> None:
    one, two = (run(spec_of(epochs=1, seed=seed), digits, tmp_path) for seed in (1, 2))
    assert not torch.equal(one.state["head.weight"], two.state["head.weight"])


def test_the_global_random_state_is_left_alone(digits: ImageData, tmp_path: Path) -> None:
    before = torch.get_rng_state()
    run(spec_of(epochs=1), digits, tmp_path)
    assert torch.equal(before, torch.get_rng_state())
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("approach", [StandardSpec(), MwtSpec(), NemoSpec(), ModaSpec(), CleaveSpec()])
def test_it_learns_digits(approach: ApproachSpec, digits: ImageData, tmp_path: Path) -> None:
    spec = spec_of(approach, epochs=2, batch_size=64, max_train_samples=800)
    network = run(spec, digits, tmp_path).network
    assert network is not None
    with evaluating(network):
        images, labels = next(batches(digits.validation, digits.info, 180, device=CPU))
        accuracy = (network(images).argmax(dim=1) == labels).double().mean().item()
    assert accuracy > 0.9


def test_a_last_batch_of_one_image_is_left_out(digits: ImageData, tmp_path: Path) -> None:
    result = run(spec_of(epochs=1, max_train_samples=65), digits, tmp_path)
    assert result.of(Progress)[-1].step == 2


def test_a_diverging_loss_ends_the_training_by_name(digits: ImageData, tmp_path: Path) -> None:
    """Weight decay of 1 at a learning rate of 10 multiplies every weight by -9 at each step."""
    spec = spec_of(
        StandardSpec(), learning_rate=10, weight_decay=1, epochs=1, max_train_samples=200, batch_size=2
    )
    with pytest.raises(TrainingDivergedError, match=r"training loss .* learning_rate"):
        run(spec, digits, tmp_path)


def test_a_diverging_validation_loss_ends_the_training_by_name(digits: ImageData) -> None:
    """Running statistics lag behind weights that explode: training data may still look fine."""
    trainer = Trainer(spec_of(StandardSpec()), digits, CPU)
    with torch.no_grad():
        # Not merely large ones: whether their sum overflows depends on the processor's order of adding.
        trainer.network.get_parameter("head.weight").fill_(math.inf)
    with pytest.raises(TrainingDivergedError, match=r"validation loss .* learning_rate"):
        trainer.finish_epoch()


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_reports_refuse_figures_that_json_lacks(value: float) -> None:
    with pytest.raises(ValidationError, match="finite number"):
        MetricValue(name="loss", value=value)
    with pytest.raises(ValidationError, match="finite number"):
        CheckpointReport(path="p", sha256="0", spec_sha256="1", epoch=1, step=1, metrics={"loss": value})


def test_a_unit_that_went_dark_is_reported(digits: ImageData, tmp_path: Path) -> None:
    """A generator that answers zero for every sample gets no gradient, so it stays dark."""
    stored = last_checkpoint(run(spec_of(), digits, tmp_path, should_stop=after(3)))
    checkpoint = load_checkpoint(tmp_path / stored.path, stored.sha256)
    checkpoint.tensors["network.mask_generators.blocks__2__conv.expand.bias"].fill_(-1000)
    darkened = write_checkpoint(tmp_path, checkpoint)
    result = run(spec_of(), digits, tmp_path, resume=tmp_path / darkened.name)
    warnings = warnings_of(result)[:2]  # then that so short a training has learned nothing
    assert [message.split(":")[0] for message in warnings] == ["epoch 2", "epoch 3"]
    assert all("blocks.2.conv" in message for message in warnings)


def test_dead_units_are_those_without_any_density() -> None:
    tally = EpochTally({"density": torch.tensor([0.2, 0.0, 0.1], dtype=torch.float64)})
    assert tally.dead(["a", "b", "c"]) == ["b"]


def warnings_of(result: Run) -> list[str]:
    return [report.message for report in result.of(LogReport) if report.level == "warning"]


class TestDoubts:
    """A training that ended is not a training that learned."""

    def test_one_that_learns_raises_none(self, digits: ImageData, tmp_path: Path) -> None:
        spec = spec_of(StandardSpec(), batch_size=64, max_train_samples=800)
        assert warnings_of(run(spec, digits, tmp_path)) == []

    def test_chance_level(self, digits: ImageData, tmp_path: Path) -> None:
        spec = spec_of(StandardSpec(), learning_rate=1e-9, epochs=1, seed=1)
        (message,) = warnings_of(run(spec, digits, tmp_path))
        assert "learned nothing" in message

    def test_a_loss_that_grows(self) -> None:
        doubts = doubts_of([0.9, 0.4, 0.7])
        (message,) = doubts.messages(3)
        assert "from 0.4 in epoch 2 to 0.7 in epoch 3" in message
        assert doubts.messages(2) == []  # early stopping keeps that one
        assert doubts.messages(1) == []
        assert doubts_of([0.9, 0.4, 0.59]).messages(3) == []
        assert doubts_of([1e-3, 1e-5, 2e-3]).messages(3) == []  # too small to matter

    def test_nothing_is_said_of_epochs_that_another_process_trained(self) -> None:
        assert doubts_of([]).messages(3) == []


def doubts_of(losses: list[float]) -> Doubts:
    doubts = Doubts(torch.arange(100) % 10, 10)
    for epoch, loss in enumerate(losses, start=1):
        accuracy = MetricValue(name="accuracy", value=0.9, split="validation", epoch=epoch)
        doubts.note([MetricValue(name="loss", value=loss, split="train", epoch=epoch), accuracy])
    return doubts
