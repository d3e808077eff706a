"""Mistakes of whoever runs the service here: one line with a stable code, and never "this is a bug"."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli.main import app
from service.platform.settings import Settings
from service.platform.startup import require_schema, tell_doubtful
from tests.fixtures.database import migrated, settings_for
from tests.service.client.live import LiveService


def refused(*arguments: str, status: int = 1, **environment: str) -> tuple[str, str]:
    """The code and the whole text of a refusal."""
    result = CliRunner().invoke(app, arguments, env=environment)
    assert (result.exit_code, result.stdout) == (status, ""), result.exception
    return code_of(result.stderr), result.stderr


def refused_process(*command: str, status: int = 1, **environment: str) -> tuple[str, str]:
    """The same of a process of its own, for commands that set up logging."""
    done = subprocess.run(
        [sys.executable, "-m", *command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environment},
    )
    assert (done.returncode, done.stdout) == (status, ""), done.stderr
    return code_of(done.stderr), done.stderr


def code_of(text: str) -> str:
    assert "Traceback" not in text
    assert text.startswith("error [")
    return text.partition("[")[2].partition("]")[0]


@pytest.fixture
def home(tmp_path: Path) -> str:
    return str(tmp_path / "home")


class TestDatabase:
    @pytest.mark.parametrize(
        "url",
        [
            "foo",
            "mysql://u:hunter2@h/x",
            "postgres://u:hunter2@h/x",
            "postgresql+asyncpg://u:hunter2@h/x",
            "postgresql+psycopg://u:hunter2@h:port/x",
        ],
    )
    def test_a_url_that_cannot_be_used(self, home: str, url: str) -> None:
        code, text = refused("db", "upgrade", "--data-dir", home, status=2, CLEAVE_DATABASE_URL=url)
        assert (code, text.count("\n")) == ("invalid_settings", 1)
        assert "CLEAVE_DATABASE_URL: must be sqlite:///FILE or postgresql+psycopg://" in text
        assert "hunter2" not in text

    @pytest.mark.parametrize(
        "url", ["sqlite:///x.db", "postgresql://u@h/x", "postgresql+psycopg://u:p@h:5432/x", ""]
    )
    def test_a_url_that_can_be_used(self, tmp_path: Path, url: str) -> None:
        assert Settings(data_dir=tmp_path, database_url=url).database_url == url

    @pytest.mark.parametrize(
        "url", ["postgresql+psycopg://nobody@127.0.0.1:1/none", "sqlite:////nonexistent/cleave.db"]
    )
    def test_a_database_that_cannot_be_reached(self, home: str, url: str) -> None:
        code, text = refused("up", "--port", "0", "--data-dir", home, CLEAVE_DATABASE_URL=url)
        assert (code, text.count("\n")) == ("database_unavailable", 1)
        assert "CLEAVE_DATABASE_URL" in text

    def test_a_file_that_is_no_database(self, tmp_path: Path) -> None:
        (tmp_path / "cleave.db").write_bytes(b"garbage" * 1000)
        code, text = refused("db", "upgrade", "--data-dir", str(tmp_path))
        assert (code, text.count("\n")) == ("database_unavailable", 1)


class TestAddress:
    @pytest.mark.parametrize(("command", "host"), [("up", "nonsense.invalid"), ("api", "192.0.2.1")])
    def test_not_ours(self, home: str, command: str, host: str) -> None:
        code, text = refused_process(
            "service.cli", command, "--host", host, "--port", "0", "--data-dir", home
        )
        assert code == "cannot_listen"
        assert host in text

    @pytest.mark.parametrize("command", ["up", "api"])
    def test_taken(self, live: LiveService, home: str, command: str) -> None:
        port = live.url.rpartition(":")[2]
        taken = refused_process("service.cli", command, "--port", port, "--data-dir", home)
        assert taken[0] == "port_in_use"


class TestSettings:
    @pytest.mark.parametrize(
        ("name", "value", "told"),
        [
            ("CLEAVE_PORT", "99999", "less than or equal to 65535"),
            ("CLEAVE_BROKER_URL", "foo", "must be redis://"),
            ("CLEAVE_BROKER_URL", "amqp://u:hunter2@h", "must be redis://"),
            ("CLEAVE_BROKER_URL", "redis://h:hunter2/0", "must be redis://"),
            (
                "CLEAVE_ARTIFACT_URL",
                "s3://u:hunter2@h",
                "must be file:///FOLDER or s3://BUCKET",
            ),
            ("CLEAVE_ARTIFACT_URL", "file://hunter2", "must be file:///FOLDER"),
            ("CLEAVE_LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
        ],
    )
    def test_a_bad_one_is_one_line(self, home: str, name: str, value: str, told: str) -> None:
        code, text = refused("db", "upgrade", "--data-dir", home, status=2, **{name: value})
        assert (code, text.count("\n")) == ("invalid_settings", 1)
        assert f"{name}: " in text
        assert told in text
        assert "hunter2" not in text
        assert not Path(home).exists()

    @pytest.mark.parametrize(
        "command",
        [
            "service.cli api",
            "service.cli dispatcher",
            "service.cli worker --queue short",
            "service.dispatcher",
            "service.server --fd 0",
            "worker --queue short",
        ],
    )
    def test_no_process_starts_with_a_bad_one(self, tmp_path: Path, command: str) -> None:
        given = {"CLEAVE_LEASE_TTL_S": "-1", "CLEAVE_BROKER_URL": "foo", "CLEAVE_DATA_DIR": str(tmp_path)}
        code, text = refused_process(*command.split(), status=2, **given)
        assert (code, text.count("\n")) == ("invalid_settings", 1)
        assert "CLEAVE_LEASE_TTL_S: " in text
        assert "CLEAVE_BROKER_URL: " in text

    @pytest.mark.parametrize(
        ("name", "url"),
        [
            ("broker_url", "redis://127.0.0.1:6379/0"),
            ("broker_url", "rediss://user:secret@redis.example"),
            ("artifact_url", "file:///mnt/cleave"),
            ("artifact_url", "s3://a-bucket/and/prefix"),
        ],
    )
    def test_a_url_that_can_be_used(self, tmp_path: Path, name: str, url: str) -> None:
        assert getattr(Settings(data_dir=tmp_path, **{name: url}), name) == url  # type: ignore[arg-type]

    def test_an_empty_variable_is_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        empty = ("database_url", "broker_url", "artifact_url", "data_root")
        for name in (*empty, "port"):
            monkeypatch.setenv(f"CLEAVE_{name.upper()}", "")
        settings = Settings()
        assert [getattr(settings, name) for name in empty] == [None] * 4
        assert settings.port == 8321


class TestDoubts:
    @pytest.fixture(autouse=True)
    def environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in [name for name in os.environ if name.startswith("CLEAVE_")]:
            monkeypatch.delenv(name)

    def test_a_variable_that_is_almost_a_setting(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setenv("CLEAVE_LEASE_TTL", "5")
        monkeypatch.setenv("CLEAVE_HOME", "/srv")  # alike is only how all begin
        monkeypatch.setenv("CLEAVE_API_KEY", "cleave_1_2")
        tell_doubtful(Settings(), needs_secret=True)
        assert caplog.messages == [
            "CLEAVE_HOME is not a setting", "CLEAVE_LEASE_TTL is not a setting; is CLEAVE_LEASE_TTL_S meant?"
        ]  # fmt: skip

    def test_up_says_so_itself(self, tmp_path: Path) -> None:
        """Its processes do not see the variable."""
        (tmp_path / "file").touch()
        arguments = ["up", "--port", "0", "--data-dir", str(tmp_path / "file")]
        result = CliRunner().invoke(app, arguments, env={"CLEAVE_LEASE_TTL": "5"})
        warning, error = result.stderr.splitlines()
        assert warning == "warning: CLEAVE_LEASE_TTL is not a setting; is CLEAVE_LEASE_TTL_S meant?"
        assert error.startswith("error [not_a_folder]")

    def test_a_shared_database_and_a_secret_of_this_machine(self, caplog: pytest.LogCaptureFixture) -> None:
        shared = Settings(database_url="postgresql+psycopg://nobody@127.0.0.1:1/none")
        tell_doubtful(shared, needs_secret=False)
        assert caplog.messages == []
        tell_doubtful(shared, needs_secret=True)
        (told,) = caplog.messages
        assert told.startswith("CLEAVE_SECRET_KEY is not set")
        assert str(shared.home) in told


class TestSchema:
    @pytest.mark.parametrize(
        "command", ["service.cli dispatcher", "service.dispatcher", "worker --queue short"]
    )
    def test_a_database_without_tables(self, tmp_path: Path, command: str) -> None:
        code, text = refused_process(*command.split(), CLEAVE_DATA_DIR=str(tmp_path))
        assert (code, text.count("\n")) == ("database_not_migrated", 1)
        assert "`cleave db upgrade`" in text

    def test_the_api_starts_and_says_what_is_missing(self, tmp_path: Path) -> None:
        command = [sys.executable, "-m", "service.cli", "api", "--port", "0", "--data-dir", str(tmp_path)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            try:
                told: list[str] = []
                while not any("not ready" in line for line in told):
                    told.append(process.stderr.readline())
                    assert told[-1], told
            finally:
                process.terminate()
        assert any("listening on http://127.0.0.1:" in line for line in told)
        assert "the schema has no tables; run `cleave db upgrade`" in told[-1]

    def test_a_database_that_does_not_answer_is_waited_for(self, tmp_path: Path) -> None:
        away = settings_for(tmp_path, database_url="postgresql+psycopg://nobody@127.0.0.1:1/none")
        require_schema(away)

    def test_a_newer_database_is_used(self, tmp_path: Path) -> None:
        settings = settings_for(tmp_path)
        with migrated(settings) as database:
            with database.engine.begin() as connection:
                connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'of tomorrow'")
            require_schema(settings)


class TestWords:
    @pytest.mark.parametrize(
        "command", ["jobs show", "models show", "modules show", "jobs cancel", "download"]
    )
    def test_an_empty_id(self, live: LiveService, command: str) -> None:
        where = ("--url", live.url, "--api-key", live.api_key)
        assert refused(*where, *command.split(), "")[0] == "invalid_id"

    def test_an_api_key_that_is_none(self) -> None:
        code, text = refused("--api-key", "\u043a\u043b\u044e\u0447", "jobs", "list")
        assert code == "invalid_api_key"
        assert "cleave keys create" in text

    @pytest.mark.parametrize("option", ["--tenant", "--name"])
    @pytest.mark.parametrize("name", ["", "  ", "a\tb", "a\nb", "\udcff", "x" * 201])
    def test_a_name_that_cannot_be_shown(self, home: str, option: str, name: str) -> None:
        assert refused("keys", "create", option, name, "--data-dir", home)[0] == "invalid_name"
        assert not Path(home).exists()

    def test_a_name_is_kept_as_given(self, live: LiveService) -> None:
        home, name = str(live.settings.home), " \u00dcn\u00ef " + "x" * 195
        made = CliRunner().invoke(app, ["keys", "create", "--tenant", name, "--data-dir", home, "--json"])
        assert made.exit_code == 0
        with live.database.engine.connect() as connection:
            names = connection.exec_driver_sql("SELECT name FROM tenants").scalars().all()
        assert name in names
