"""The checkpoints of a job on disk: which are kept, and which one an attempt begins with."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from core.reports import CheckpointReport
from service.jobs.recording import Notes, record
from service.jobs.tables import Checkpoint
from service.platform.database import Database
from tests.fixtures.jobs import claimed, queued
from worker.checkpoints import newest_good, tidy
from worker.recorder import Recorder

SPEC = "5" * 64


def report(step: int, **values: Any) -> CheckpointReport:
    content = {"path": f"{step}.safetensors", "sha256": "0" * 64, "spec_sha256": SPEC, "epoch": 0}
    return CheckpointReport.model_validate({**content, "step": step, **values})


def numbers(folder: Path) -> list[int]:
    return sorted(int(path.stem) for path in folder.glob("*.safetensors"))


@pytest.fixture
def job_id(database: Database, tenant: str) -> str:
    return queued(database, tenant)


@pytest.fixture
def folder(job_id: str, tmp_path: Path) -> Path:
    made = tmp_path / job_id
    made.mkdir()
    return made


def test_an_attempt_begins_with_what_can_be_resumed_and_nothing_else(
    database: Database, job_id: str, folder: Path
) -> None:
    claim = claimed(database, job_id)
    with database.write() as session:
        points = [report(step, best=step == 0) for step in range(5)]
        record(session, claim.lease, claim.attempt, Notes(checkpoints=points))
    recorded = [f"{step}.safetensors" for step in range(5)]
    unfinished = [f"9{told}.safetensors{end}" for told in ("", "-attempt-1") for end in ("", ".77.tmp")]
    for name in (*recorded, *unfinished, "notes.txt"):
        (folder / name).touch()
    with database.read() as session:
        point = session.get_one(Checkpoint, (job_id, "2.safetensors"))
    tidy(database, folder, point, 2)
    assert numbers(folder) == [0, 2, 3, 4]
    assert (folder / "notes.txt").exists()
    assert len(list(folder.iterdir())) == 5


def test_an_attempt_that_was_overtaken_leaves_the_later_one_s_files_alone(
    database: Database, folder: Path
) -> None:
    written = {f"9-attempt-{attempt}.safetensors{end}" for attempt in (2, 11) for end in ("", ".77.tmp")}
    for name in written:
        (folder / name).touch()
    tidy(database, folder, None, 2)
    assert {path.name for path in folder.iterdir()} == written


def test_what_cannot_be_removed_is_in_nobodys_way(database: Database, folder: Path) -> None:
    (folder / "1.safetensors").mkdir()
    tidy(database, folder, None, 2)


def test_a_folder_that_somebody_else_has_just_removed_is_tidy(database: Database, folder: Path) -> None:
    folder.rmdir()
    tidy(database, folder, None, 2)


def test_a_checkpoint_goes_only_when_two_newer_ones_are_on_record(
    database: Database, job_id: str, folder: Path
) -> None:
    recorder = Recorder(database, claimed(database, job_id), folder)
    for step in range(5):
        (folder / f"{step}.safetensors").touch()
    left = []
    for step in range(3):  # the supervisor hears of three of the five
        recorder.add(report(step))
        left.append(numbers(folder))
    assert left == [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4], [1, 2, 3, 4]]


def test_the_best_one_stays_until_there_is_a_better_one(
    database: Database, job_id: str, folder: Path
) -> None:
    recorder = Recorder(database, claimed(database, job_id), folder)
    left = []
    for step in range(6):
        (folder / f"{step}.safetensors").touch()
        recorder.add(report(step, best=step in {0, 3}))
        left.append(numbers(folder))
    assert left == [[0], [0, 1], [0, 1, 2], [2, 3], [3, 4], [3, 4, 5]]
    with database.read() as session:
        rows = [session.get_one(Checkpoint, (job_id, f"{step}.safetensors")) for step in range(6)]
        assert [row.step for row in rows if row.best] == [3]


@pytest.mark.parametrize("damage", [b"", b"garbage", None])
def test_the_newest_intact_one_of_the_spec_is_resumed(
    database: Database, job_id: str, folder: Path, damage: bytes | None
) -> None:
    """The newest, the one before, the best, then none: in this order, as each is found damaged or gone."""
    claim = claimed(database, job_id)
    points = []
    for step, best in ((1, True), (7, False), (8, False)):
        content = f"state {step}".encode()
        (folder / f"{step}.safetensors").write_bytes(content)
        points.append(report(step, sha256=hashlib.sha256(content).hexdigest(), best=best))
    (folder / "9.safetensors").write_bytes(b"")
    points.append(report(9, sha256=hashlib.sha256(b"").hexdigest(), spec_sha256="6" * 64))
    with database.write() as session:
        record(session, claim.lease, claim.attempt, Notes(checkpoints=points))
    found = []
    for step in (8, 7, 1):
        point = newest_good(database, folder, job_id, SPEC)
        found.append(point and point.step)
        path = folder / f"{step}.safetensors"
        path.unlink() if damage is None else path.write_bytes(damage)
    assert found == [8, 7, 1]
    assert newest_good(database, folder, job_id, SPEC) is None
