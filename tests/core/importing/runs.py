"""Imports in this process, and in the limited one that the runner starts."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from core.datasets import ImageData, load_uploaded
from core.errors import CoreError
from core.importing.run import run_import
from core.reports import REPORT_ADAPTER, AnyReport
from core.results import ImportResult
from core.specs import ImportOptions, ImportSpec

COMMAND = (sys.executable, "-m", "core.importing")


@dataclass(frozen=True)
class Imported:
    """A dataset, as it was reported and as it is loaded."""

    result: ImportResult
    folder: Path

    @property
    def data(self) -> ImageData:
        return load_uploaded(*(self.folder / name for name in ("images.npy", "labels.npy", "dataset.json")))


def imported(content: bytes, folder: Path, **options: Any) -> Imported:
    spec, parts = _upload(content, folder, **options)
    return Imported(run_import(spec, parts, folder, lambda *_: None), folder)


def refused(content: bytes, folder: Path, **options: Any) -> CoreError:
    """The refusal; it leaves nothing that was in the file."""
    spec, parts = _upload(content, folder, **options)
    with pytest.raises(CoreError) as caught:
        run_import(spec, parts, folder, lambda *_: None)
    assert {path.name for path in folder.iterdir()} == {part.name for part in parts}
    return caught.value


def limited(content: bytes, folder: Path, command: Sequence[str] = COMMAND) -> tuple[AnyReport, str]:
    """The last report of the limited process, and what it wrote to standard error."""
    spec, parts = _upload(content, folder)
    job = {"spec": spec.model_dump(), "parts": [str(part) for part in parts], "staging": str(folder)}
    told = json.dumps(job) + "\n"
    process = subprocess.run(command, input=told, capture_output=True, text=True, check=False)
    assert process.stdout, process.stderr
    return REPORT_ADAPTER.validate_json(process.stdout.splitlines()[-1]), process.stderr


def _upload(
    content: bytes, folder: Path, *, part_size: int = 1 << 20, max_bytes: int = 1 << 30, **options: Any
) -> tuple[ImportSpec, list[Path]]:
    folder.mkdir(parents=True)
    parts = []
    for number, start in enumerate(range(0, len(content), part_size)):
        parts.append(folder / f"part-{number}")
        parts[-1].write_bytes(content[start : start + part_size])
    spec = ImportSpec(
        dataset_id="ds_1",
        dataset_name="pictures",
        upload_id="upl_1",
        filename="file",
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        max_bytes=max_bytes,
        options=ImportOptions(**options),
    )
    return spec, parts
