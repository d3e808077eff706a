"""The runner of imports: a limited process of its own, which knows no secret and ends with the job."""

import hashlib
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from core.errors import Interrupted
from core.reports import ResultReport, RunnerInput
from core.results import ImportResult
from core.specs import ImportOptions, ImportSpec
from tests.fixtures.uploads import digit_pictures, part, zipped
from worker.runners import importing

PART = 1000


def upload(folder: Path) -> tuple[RunnerInput, ImportSpec]:
    """More than ten parts: their numbers are not in the order of their texts."""
    content = zipped(digit_pictures(["cat", "dog"], 30))
    files = {}
    for number in range(1, -(-len(content) // PART) + 1):
        path = folder / f"blob-{number}"
        path.write_bytes(part(content, number, PART))
        files[f"part:{number}"] = str(path)
    assert len(files) > 10
    spec = ImportSpec(
        dataset_id="ds_1", dataset_name="pets", upload_id="upl_1", filename="pets.zip",
        sha256=hashlib.sha256(content).hexdigest(), size=len(content), max_bytes=1 << 20,
        options=ImportOptions(),
    )  # fmt: skip
    job = RunnerInput(
        job_id="job_1", attempt=1, spec={}, staging=str(folder), checkpoints=str(folder), files=files
    )
    return job, spec


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Mapping[str, str], subprocess.Popen[bytes]]]:
    """The environment and the process of each import."""
    seen: list[Any] = []
    start = importing._started

    def spy(environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        seen.append((environment, start(environment)))
        return seen[-1][1]  # type: ignore[no-any-return]  # appended above

    monkeypatch.setattr(importing, "_started", spy)
    return seen


def test_the_parts_become_a_dataset(tmp_path: Path, started: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEAVE_SECRET_KEY", "pepper")
    job, spec = upload(tmp_path)
    *_, last = importing.run(job, spec, lambda: False)
    assert isinstance(last, ResultReport)
    assert isinstance(last.result, ImportResult)
    assert last.result.info.class_names == ("cat", "dog")
    assert all((tmp_path / file.path).is_file() for file in last.result.files)
    [(environment, process)] = started
    assert (process.poll() is not None, "CLEAVE_SECRET_KEY" in environment) == (True, False)


def test_a_stop_ends_the_process(tmp_path: Path, started: Any) -> None:
    job, spec = upload(tmp_path)
    with pytest.raises(Interrupted):
        list(importing.run(job, spec, lambda: True))
    [(_, process)] = started
    assert process.poll() is not None
