"""Early stopping, gradient accumulation, arithmetic, and data that stays in its file."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from core.acceleration import arithmetic, pooled_generators
from core.approaches import create_approach
from core.architectures import create
from core.checkpoints import load_checkpoint
from core.datasets import ImageData, ImageSplit, load_dataset
from core.optimisation import micro_batches
from core.reports import LogReport
from core.selection import BestEpoch
from core.specs import NemoSpec, StandardSpec, TrainSpec
from core.surgery.masking import recorded_masks
from tests.core.test_resume import assert_same_bits, enlarged
from tests.core.training_runs import CPU, Run, after, last_checkpoint, run, spec_of

# A learning rate this large makes the accuracy jump up and down, so that the last epoch is rarely the best.
RESTLESS = {"epochs": 12, "learning_rate": 0.3, "early_stop_patience": 2}


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load_dataset("digits", None)


def accuracies(result: Run) -> list[float]:
    return [m.value for m in result.metrics if (m.split, m.name) == ("validation", "accuracy")]


class TestEarlyStopping:
    @pytest.fixture(scope="class")
    def stopped(self, digits: ImageData, tmp_path_factory: pytest.TempPathFactory) -> Run:
        return run(spec_of(StandardSpec(), **RESTLESS), digits, tmp_path_factory.mktemp("stopped"))

    def test_it_ends_after_patience_epochs_and_says_what_it_keeps(self, stopped: Run) -> None:
        found = accuracies(stopped)
        best = found.index(max(found))
        assert len(found) == best + 3 < 12
        message = stopped.of(LogReport)[-1].message
        assert f"weights of epoch {best + 1} are kept" in message

    def test_the_network_is_that_of_the_best_epoch(
        self, stopped: Run, digits: ImageData, tmp_path: Path
    ) -> None:
        best = accuracies(stopped).index(max(accuracies(stopped))) + 1
        spec = spec_of(StandardSpec(), **RESTLESS)
        first = run(spec, digits, tmp_path, should_stop=after(3 * best))  # three steps each epoch
        state = load_checkpoint(tmp_path / last_checkpoint(first).path, None).tensors
        # The checkpoint was written after the epoch's last step: its weights are the epoch's.
        for name, value in stopped.state.items():
            assert torch.equal(value, state[f"network.{name}"]), name

    @pytest.mark.parametrize("steps", [1, 5, 8])
    def test_it_resumes_with_the_same_bits(
        self, steps: int, stopped: Run, digits: ImageData, tmp_path: Path
    ) -> None:
        spec = spec_of(StandardSpec(), **RESTLESS)
        first = run(spec, digits, tmp_path, should_stop=after(steps))
        second = run(spec, digits, tmp_path, resume=tmp_path / last_checkpoint(first).path)
        assert_same_bits(stopped, second)
        assert first.metrics + second.metrics == stopped.metrics

    def test_the_first_of_equal_epochs_is_kept(self) -> None:
        network, best = nn.Linear(1, 1), BestEpoch(2)
        for epoch, accuracy in enumerate([0.5, 0.7, 0.7], start=1):
            nn.init.constant_(network.weight, epoch)
            best.consider(network, epoch, accuracy)
        best.restore(network)
        assert (best.epoch, network.weight.item()) == (2, 2.0)
        assert [best.exhausted(epoch) for epoch in (2, 3, 4)] == [False, False, True]

    def test_without_patience_the_last_epoch_is_kept(self) -> None:
        best = BestEpoch(None)
        best.consider(nn.Linear(1, 1), 1, 0.9)
        assert best.to_tensors().keys() == {"accuracy", "epoch"}
        network = nn.Linear(1, 1)
        before = network.weight.clone()
        best.restore(network)
        assert torch.equal(network.weight, before)
        assert not best.exhausted(1000)


class TestAccumulation:
    def test_pieces_hold_every_sample_once_and_two_at_least(self) -> None:
        for size in range(1, 40):
            pieces = micro_batches(size, 8)
            assert [i for piece in pieces for i in range(size)[piece]] == list(range(size))
            assert all(piece.stop - piece.start >= min(2, size) for piece in pieces)

    def test_a_network_that_does_not_look_across_samples_learns_the_same(
        self, digits: ImageData, tmp_path: Path
    ) -> None:
        """LeNet5 has no batch normalisation, and cross-entropy is a mean: only rounding may differ."""
        data, states = enlarged(digits), []
        for pieces in (1, 3):
            spec = spec_of(StandardSpec(), batch_size=10, max_train_samples=20, gradient_accumulation=pieces)
            spec = spec.model_copy(update={"architecture": "lenet5", "dataset": "mnist"})
            states.append(run(spec, data, tmp_path).state)
        for name, value in states[0].items():
            torch.testing.assert_close(states[1][name], value, atol=1e-6, rtol=1e-4)

    def test_pieces_of_one_image_are_refused(self) -> None:
        with pytest.raises(ValidationError, match="twice gradient_accumulation"):
            spec_of(batch_size=7, gradient_accumulation=4)


class TestArithmetic:
    @pytest.mark.parametrize("flag", ["_is_avx512_bf16_supported", "_is_amx_tile_supported"])
    def test_auto_is_bfloat16_on_a_processor_that_has_it(
        self, flag: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
            monkeypatch.setattr(torch.cpu, name, lambda: False)
        assert arithmetic("auto", CPU) is torch.float32
        assert arithmetic("bfloat16", CPU) is torch.bfloat16
        monkeypatch.setattr(torch.cpu, flag, lambda: True)
        assert arithmetic("auto", CPU) is torch.bfloat16
        assert arithmetic("float32", CPU) is torch.float32

    def test_bfloat16_rounds_products_and_resumes_with_the_same_bits(
        self, digits: ImageData, tmp_path: Path
    ) -> None:
        exact = run(spec_of(), digits, tmp_path / "exact")
        whole = run(spec_of(precision="bfloat16"), digits, tmp_path / "whole")
        losses = [
            [m.value for m in r.metrics if (m.split, m.name) == ("train", "loss")] for r in (exact, whole)
        ]
        assert losses[0] != losses[1]
        assert losses[1] == pytest.approx(losses[0], rel=0.05)
        assert {value.dtype for value in whole.state.values()} == {torch.float32, torch.int64}
        spec, folder = spec_of(precision="bfloat16"), tmp_path / "parts"
        first = run(spec, digits, folder, should_stop=after(5))
        assert_same_bits(whole, run(spec, digits, folder, resume=folder / last_checkpoint(first).path))


def test_pooled_generators_answer_and_learn_as_before() -> None:
    torch.manual_seed(0)
    network = create_approach(NemoSpec()).attach(create("small_cnn", 10, (1, 8, 8)), 10)
    images = torch.randn(6, 1, 8, 8)

    def masks_and_gradients() -> list[Tensor]:
        with recorded_masks(network) as masks:
            network.zero_grad()
            network(images).square().sum().backward()
            return [*masks.values(), *(p.grad for p in network.parameters() if p.grad is not None)]

    before = masks_and_gradients()
    with pooled_generators(network):
        inside = masks_and_gradients()
    assert len(before) == len(inside) > 5
    for one, other in zip(before, inside, strict=True):
        torch.testing.assert_close(other, one, atol=1e-4, rtol=1e-4)
    assert not any(layer._forward_pre_hooks for layer in network.modules())


def test_images_in_a_file_are_trained_on_without_being_copied(digits: ImageData, tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", digits.train.images.numpy())
    mapped = torch.from_numpy(np.load(tmp_path / "images.npy", mmap_mode="c"))
    near = ImageSplit(mapped, digits.train.labels).first(96).near(CPU)
    assert near.images.data_ptr() == mapped.data_ptr()
    data = ImageData.of(digits.info, ImageSplit(mapped, digits.train.labels), digits.validation, digits.test)
    in_memory = run(spec_of(epochs=1), digits, tmp_path)
    assert_same_bits(in_memory, run(spec_of(epochs=1), data, tmp_path))


def test_old_specs_train_as_before() -> None:
    """The published recipe keeps the last epoch and takes a batch whole."""
    spec = TrainSpec(architecture="small_cnn", dataset="digits")
    assert (spec.early_stop_patience, spec.gradient_accumulation) == (None, 1)
