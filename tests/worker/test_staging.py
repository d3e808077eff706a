"""An attempt's own folder: attempts that are over leave nothing, a later one is left alone."""

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.reports import AnyReport, FailureReport, Progress
from tests.worker.test_process import job as evaluation
from worker.job import reports_of
from worker.runners import RUNNERS
from worker.staging import Stage


def test_folders_of_attempts_that_are_over_go_and_a_later_one_stays(tmp_path: Path) -> None:
    job = tmp_path / "job"
    for token in ("2", "9", "10"):
        (job / token).mkdir(parents=True)
        (job / token / "weights").touch()
    stage = Stage(job, 9)
    stage.open()
    assert sorted(path.name for path in job.iterdir()) == ["10", "9"]
    stage.close()
    assert [path.name for path in job.iterdir()] == ["10"]


def test_the_last_one_takes_the_jobs_folder_along(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "job", 1)
    stage.open()
    (stage.folder / "weights").touch()
    stage.close()
    assert list(tmp_path.iterdir()) == []
    stage.close()


def test_a_disk_that_refuses_is_the_machines_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def write(*_: object) -> Iterator[AnyReport]:
        yield Progress(phase="save", step=0, total=1)
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setitem(RUNNERS, "evaluate", write)
    *_, last = reports_of(evaluation(tmp_path).model_dump_json().encode(), lambda: False)
    assert isinstance(last, FailureReport)
    assert (last.code, last.cause) == ("disk_unavailable", "infra")
    assert "Read-only file system" in last.message


def test_a_full_disk_is_told_as_the_machines_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def write(*_: object) -> Iterator[AnyReport]:
        yield Progress(phase="save", step=0, total=1)
        try:
            raise OSError(errno.ENOSPC, "no space left")
        except OSError as error:
            raise RuntimeError("cannot write") from error

    monkeypatch.setitem(RUNNERS, "evaluate", write)
    *_, last = reports_of(evaluation(tmp_path).model_dump_json().encode(), lambda: False)
    assert isinstance(last, FailureReport)
    assert (last.code, last.cause) == ("storage_full", "infra")
