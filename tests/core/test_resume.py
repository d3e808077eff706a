"""A training stopped at any step and resumed ends with the same bits as an undisturbed one."""

from pathlib import Path
from typing import Any

import pytest
import torch

from core.catalog import DATASETS
from core.datasets import ImageData, ImageSplit, load_dataset
from core.errors import ArtifactError
from core.specs import ApproachSpec, MwtSpec, StandardSpec
from tests.core.training_runs import Run, after, last_checkpoint, run, spec_of


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load_dataset("digits", None)


def enlarged(digits: ImageData) -> ImageData:
    """A few digits as 32x32 images, for the networks that need them."""
    splits = (split.first(20) for split in (digits.train, digits.validation, digits.test))
    large = [
        ImageSplit(s.images.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3), s.labels) for s in splits
    ]
    return ImageData.of(DATASETS["mnist"], *large)


def assert_same_bits(a: Run, b: Run) -> None:
    assert a.state.keys() == b.state.keys()
    assert [name for name in a.state if not torch.equal(a.state[name], b.state[name])] == []


class TestResume:
    @pytest.fixture(scope="class")
    def undisturbed(self, digits: ImageData, tmp_path_factory: pytest.TempPathFactory) -> Run:
        return run(spec_of(), digits, tmp_path_factory.mktemp("undisturbed"))

    @pytest.mark.parametrize("steps", [1, 3, 5, 9])
    def test_stopped_anywhere_it_ends_with_the_same_bits_and_figures(
        self, steps: int, digits: ImageData, undisturbed: Run, tmp_path: Path
    ) -> None:
        """Steps 3 and 9 end an epoch (9 the training), 1 and 5 lie within one."""
        first = run(spec_of(), digits, tmp_path, should_stop=after(steps))
        assert first.network is None
        stored = last_checkpoint(first)
        assert stored.step == steps
        second = run(spec_of(), digits, tmp_path, resume=tmp_path / stored.path)
        assert_same_bits(undisturbed, second)
        assert first.metrics + second.metrics == undisturbed.metrics

    def test_stopped_at_every_single_step(self, digits: ImageData, undisturbed: Run, tmp_path: Path) -> None:
        resume, metrics = None, []
        for _ in range(9):
            part = run(spec_of(), digits, tmp_path, resume=resume, should_stop=after(1))
            metrics += part.metrics
            resume = tmp_path / last_checkpoint(part).path
        last = run(spec_of(), digits, tmp_path, resume=resume)
        assert_same_bits(undisturbed, last)
        assert metrics + last.metrics == undisturbed.metrics

    @pytest.mark.parametrize("approach", [MwtSpec(), StandardSpec()])
    def test_every_approach_resumes(self, approach: ApproachSpec, digits: ImageData, tmp_path: Path) -> None:
        spec = spec_of(approach, epochs=2)
        whole = run(spec, digits, tmp_path / "whole")
        first = run(spec, digits, tmp_path / "parts", should_stop=after(2))
        second = run(
            spec, digits, tmp_path / "parts", resume=tmp_path / "parts" / last_checkpoint(first).path
        )
        assert_same_bits(whole, second)

    def test_dropout_and_augmentation_resume(self, digits: ImageData, tmp_path: Path) -> None:
        """Random at every step, and still the same bits: their draws depend on seed, epoch and step only."""
        spec = spec_of(StandardSpec(), batch_size=5, max_train_samples=10, epochs=1)
        spec = spec.model_copy(update={"architecture": "torchvision:squeezenet1_1", "dataset": "mnist"})
        data = enlarged(digits)
        whole = run(spec, data, tmp_path / "whole")
        first = run(spec, data, tmp_path / "parts", should_stop=after(1))
        second = run(spec, data, tmp_path / "parts", resume=tmp_path / "parts" / last_checkpoint(first).path)
        assert_same_bits(whole, second)

    @pytest.mark.parametrize("change", [{"seed": 8}, {"learning_rate": 0.04}, {"epochs": 4}])
    def test_a_checkpoint_of_another_spec_is_refused(
        self, change: dict[str, Any], digits: ImageData, tmp_path: Path
    ) -> None:
        stored = last_checkpoint(run(spec_of(), digits, tmp_path, should_stop=after(1)))
        with pytest.raises(ArtifactError, match="another spec"):
            run(spec_of(**change), digits, tmp_path, resume=tmp_path / stored.path)

    def test_a_checkpoint_of_other_data_is_refused(self, digits: ImageData, tmp_path: Path) -> None:
        stored = last_checkpoint(run(spec_of(), digits, tmp_path, should_stop=after(1)))
        other = ImageData.of(digits.info, digits.train, digits.test, digits.validation)
        with pytest.raises(ArtifactError, match="other data"):
            run(spec_of(), other, tmp_path, resume=tmp_path / stored.path)

    def test_labels_and_metadata_of_the_job_do_not_matter(self, digits: ImageData, tmp_path: Path) -> None:
        stored = last_checkpoint(run(spec_of(), digits, tmp_path, should_stop=after(8)))
        again = run(spec_of(priority=1), digits, tmp_path, resume=tmp_path / stored.path)
        assert again.network is not None
