"""An attempt's own folder: attempts that are over leave nothing, a later one is left alone."""

from pathlib import Path

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
