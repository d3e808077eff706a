"""Folders and files of whoever runs the service here that are not what they should be: the same refusals."""

from pathlib import Path

import pytest

from tests.fixtures.database import migrated, settings_for
from tests.service.cli.test_mistakes import refused, refused_process
from tests.service.client.live import LiveService


class TestPlaces:
    @pytest.mark.parametrize(
        "command",
        ["gc", "verify", "backup copy", "keys list", "tenants list", "workers list", "health worker"],
    )
    @pytest.mark.parametrize("named", [False, True])
    def test_a_folder_without_an_installation(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, named: bool
    ) -> None:
        """An empty one made there would be told as intact, and backed up."""
        monkeypatch.chdir(tmp_path)
        if named:
            monkeypatch.setenv("CLEAVE_DATABASE_URL", f"sqlite:///{tmp_path}/elsewhere.db")
        code, text = refused(*command.split())
        assert (code, text.count("\n")) == ("no_installation", 1)
        assert str(tmp_path / ("elsewhere.db" if named else ".cleave/cleave.db")) in text
        assert "--data-dir" in text
        assert list(tmp_path.iterdir()) == []

    def test_a_worker_that_cannot_write_what_attempts_make(self, tmp_path: Path) -> None:
        """It would take one job after the other, and each would fail."""
        file = tmp_path / "file"
        file.touch()
        with migrated(settings_for(tmp_path)):
            code, text = refused_process(
                "worker", "--queue", "short", status=1,
                CLEAVE_DATA_DIR=str(tmp_path / "home"), CLEAVE_ARTIFACT_URL=f"file://{file}/folder",
            )  # fmt: skip
        assert (code, text.count("\n")) == ("folder_not_writable", 1)
        assert f"{file}/folder" in text
        assert "CLEAVE_ARTIFACT_URL" in text

    @pytest.mark.parametrize("command", ["service.dispatcher", "service.cli dispatcher"])
    def test_a_dispatcher_without_a_secret_to_read(self, tmp_path: Path, command: str) -> None:
        """Its thread that sends webhooks would end, and the rest go on."""
        settings = settings_for(tmp_path)
        (settings.home / "secret.key").mkdir(parents=True)
        with migrated(settings):
            code, text = refused_process(*command.split(), CLEAVE_DATA_DIR=str(settings.home))
        assert (code, text.count("\n")) == ("os_error", 1)
        assert "secret.key" in text

    @pytest.mark.parametrize("below", ["", "/folder"])
    def test_a_data_folder_that_is_a_file(self, tmp_path: Path, below: str) -> None:
        file = tmp_path / "file"
        file.touch()
        code, text = refused("up", "--port", "0", "--data-dir", f"{file}{below}")
        assert code == "not_a_folder"
        assert str(file) in text

    def test_a_download_below_a_file(self, live: LiveService, tmp_path: Path) -> None:
        artifact_id, _ = live.publish(b"weights", tmp_path)
        file = tmp_path / "file"
        file.touch()
        where = ("--url", live.url, "--api-key", live.api_key)
        assert refused(*where, "download", artifact_id, str(file / "x"))[0] == "not_a_folder"
