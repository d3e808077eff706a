"""Checkpoint files: equal bit for bit when read back, complete or absent, and refused when damaged."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from core.checkpoints import Checkpoint, TrainingPosition, load_checkpoint, write_checkpoint
from core.errors import ArtifactError


def checkpoint(step: int = 3) -> Checkpoint:
    loss = torch.tensor(0.1, dtype=torch.float64)
    tensors = {"network.w": torch.randn(4, 5), "network.steps": torch.tensor(7), "tally.loss": loss}
    return Checkpoint(TrainingPosition("ab" * 32, "cd" * 32, 2, step), tensors)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_was_written_is_read_bit_for_bit(tmp_path: Path) -> None:
    original = checkpoint()
    stored = write_checkpoint(tmp_path / "new", original)
    restored = load_checkpoint(tmp_path / "new" / stored.name, stored.sha256)
    assert restored.position == original.position
    assert restored.tensors.keys() == original.tensors.keys()
    for name, value in original.tensors.items():
        assert restored.tensors[name].dtype == value.dtype
        assert torch.equal(restored.tensors[name], value)


def test_older_ones_stay_until_somebody_else_removes_them(tmp_path: Path) -> None:
    """Those on record may be older than any the supervisor has not heard of yet."""
    stored = [write_checkpoint(tmp_path, checkpoint(step)).name for step in (1, 2, 3)]
    assert names(tmp_path) == stored


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    taken = "epoch-00002-step-0000003-attempt-1.safetensors"
    (tmp_path / taken).mkdir()  # the rename fails
    with pytest.raises(OSError, match="directory"):
        write_checkpoint(tmp_path, checkpoint(3))
    assert names(tmp_path) == [taken]


def test_two_attempts_at_the_same_step_do_not_write_the_same_file(tmp_path: Path) -> None:
    first, second = (write_checkpoint(tmp_path, checkpoint(), attempt) for attempt in (1, 2))
    assert names(tmp_path) == [first.name, second.name]


def test_other_files_of_the_folder_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    write_checkpoint(tmp_path, checkpoint())
    assert "notes.txt" in names(tmp_path)


class TestRefusals:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / write_checkpoint(tmp_path, checkpoint()).name

    def test_another_digest(self, path: Path) -> None:
        with pytest.raises(ArtifactError, match="sha256"):
            load_checkpoint(path, "0" * 64)

    def test_one_flipped_bit(self, path: Path) -> None:
        stored = write_checkpoint(path.parent, checkpoint())
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        with pytest.raises(ArtifactError, match="damaged"):
            load_checkpoint(path, stored.sha256)

    @pytest.mark.parametrize("keep", [0, 7, 60])
    def test_a_truncated_file_without_a_digest(self, keep: int, path: Path) -> None:
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(ArtifactError, match="cannot be read"):
            load_checkpoint(path, None)

    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(ArtifactError, match="absent"):
            load_checkpoint(tmp_path / "absent.safetensors", None)

    @pytest.mark.parametrize("header", [None, {"cleave.checkpoint": "{}"}, {"cleave.checkpoint": "[1"}])
    def test_a_tensor_file_that_is_no_checkpoint(self, header: dict[str, str] | None, path: Path) -> None:
        save_file({"w": torch.ones(2)}, path, metadata=header)
        with pytest.raises(ArtifactError, match="cannot be read"):
            load_checkpoint(path, None)
