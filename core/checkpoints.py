"""A training's state as one safetensors file: complete or absent, and never unpickled."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from core.errors import ArtifactError

_HEADER = "cleave.checkpoint"
_SUFFIX, _UNFINISHED = ".safetensors", ".tmp"


@dataclass(frozen=True)
class TrainingPosition:
    """Where a training stands, and of what: a checkpoint fits only the same spec and the same data.

    Attributes:
        spec_sha256: `core.specs.spec_digest` of the training.
        dataset_digest: digest of its data.
        epoch: completed epochs.
        step: completed steps of the epoch under way.
    """

    spec_sha256: str
    dataset_digest: str
    epoch: int
    step: int


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A position and everything that changes while training, by name."""

    position: TrainingPosition
    tensors: dict[str, Tensor]


@dataclass(frozen=True)
class StoredCheckpoint:
    """A file in the checkpoint folder."""

    name: str
    sha256: str


def load_checkpoint(path: Path, expected_sha256: str | None) -> Checkpoint:
    """Read a checkpoint onto the CPU.

    Raises:
        ArtifactError: missing, damaged, not a checkpoint, or not the file the digest names.
    """
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if expected_sha256 is not None and found != expected_sha256:
            raise ArtifactError(
                f"checkpoint {path.name} does not have the sha256 that was recorded: it is damaged"
            )
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
            position = TrainingPosition(**json.loads((file.metadata() or {})[_HEADER]))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"checkpoint {path.name} cannot be read: {error}") from error
    return Checkpoint(position, tensors)


def write_checkpoint(folder: Path, checkpoint: Checkpoint, attempt: int = 1) -> StoredCheckpoint:
    """Store a checkpoint; when this returns it is complete and survives a crash of the machine.

    Its name tells the attempt: one that goes on although it was given up overwrites nothing of the next.
    Nothing older is removed: only whoever keeps the record of checkpoints knows which are still needed.
    """
    position = checkpoint.position
    name = f"epoch-{position.epoch:05d}-step-{position.step:07d}-attempt-{attempt}{_SUFFIX}"
    content = save(checkpoint.tensors, metadata={_HEADER: json.dumps(asdict(position))})
    folder.mkdir(parents=True, exist_ok=True)
    _write_atomically(folder / name, content)
    return StoredCheckpoint(name, hashlib.sha256(content).hexdigest())


def _write_atomically(path: Path, content: bytes) -> None:
    unfinished = path.with_name(f"{path.name}.{os.getpid()}{_UNFINISHED}")
    try:
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        # The new name is durable only when its folder is.
        os.fsync(folder)
    finally:
        os.close(folder)
