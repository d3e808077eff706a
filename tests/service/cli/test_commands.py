"""The command line against the real application: JSON is only JSON, errors are one line with a code."""

import json
import select
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from service.cli.main import app
from service.client import CleaveClient
from tests.service.client.live import TRAIN, LiveService

TRAIN_OPTIONS = ("--architecture", "small_cnn", "--dataset", "digits", "--no-wait")


def cleave(*arguments: str, live: LiveService | None = None) -> Result:
    where = ("--url", live.url, "--api-key", live.api_key) if live else ()
    return CliRunner().invoke(app, [*where, *arguments])


class TestCatalogue:
    @pytest.mark.parametrize("command", ["datasets", "architectures"])
    def test_json_is_only_json(self, live: LiveService, command: str) -> None:
        result = cleave(command, "--json", live=live)
        assert result.exit_code == 0
        assert {entry["name"] for entry in json.loads(result.stdout)} >= {
            "datasets": {"digits"},
            "architectures": {"small_cnn"},
        }[command]

    @pytest.mark.parametrize(
        "command", ["datasets", "architectures", "models list", "modules list", "classes 3", "jobs list"]
    )
    def test_tables(self, live: LiveService, command: str) -> None:
        result = cleave(*command.split(), live=live)
        assert (result.exit_code, result.stderr) == (0, "")

    def test_version(self) -> None:
        assert set(json.loads(cleave("version", "--json").stdout)) == {"version", "python"}


class TestArtifacts:
    def test_a_signed_link_needs_no_key(self, live: LiveService, tmp_path: Path) -> None:
        artifact_id, _ = live.publish(b"for everybody", tmp_path)
        link = json.loads(cleave("artifacts", "sign", artifact_id, "--ttl", "60", "--json", live=live).stdout)
        assert httpx.get(link["url"]).content == b"for everybody"
        shown = cleave("artifacts", "sign", artifact_id, live=live).stdout
        assert shown.startswith(f"{live.url}/v1/artifacts/{artifact_id}/signed?")
        assert "It holds until" in shown


class TestJobs:
    def test_train_submits_what_the_options_and_settings_say(self, live: LiveService) -> None:
        options = (
            *TRAIN_OPTIONS,
            "--approach",
            "nemo",
            "--epochs",
            "3",
            "--set",
            "approach.alpha=0.7",
            "--json",
        )
        job = json.loads(cleave("jobs", "train", *options, live=live).stdout)
        assert job["state"] == "queued"
        assert job["spec"]["epochs"] == 3
        assert (job["spec"]["approach"]["name"], job["spec"]["approach"]["alpha"]) == ("nemo", 0.7)

    def test_a_training_can_start_from_a_model(self, live: LiveService) -> None:
        result = cleave("jobs", "train", *TRAIN_OPTIONS, "--initial-model", "mdl_0", live=live)
        assert (result.exit_code, result.stderr.split(":")[0]) == (1, "error [not_found]")
        assert "no model" in result.stderr

    def test_weights_are_imported_as_the_options_say(self, live: LiveService, tmp_path: Path) -> None:
        file = tmp_path / "net.safetensors"
        file.write_bytes(b"weights")
        command = ("models", "import", str(file), "--architecture", "small_cnn", "--no-wait", "--json")
        options = ("--classes", "a,b", "--name", "n", "--set", "input_shape=[1,8,8]", "--set", "mean=[0.5]")
        job = json.loads(cleave(*command, *options, "--set", "std=[0.25]", live=live).stdout)
        asked = {"class_names": ["a", "b"], "name": "n", "input_shape": [1, 8, 8], "std": [0.25]}
        assert {name: job["spec"][name] for name in asked} == asked
        of_digits = json.loads(cleave(*command, "--dataset", "digits", live=live).stdout)
        assert of_digits["spec"]["dataset"] == "digits"
        refused = cleave(*command, "--classes", "a,b", live=live)
        assert refused.exit_code == 1
        assert "needed too: input_shape, mean, std" in refused.stderr

    def test_spec_file_is_overridden_by_options(self, live: LiveService, tmp_path: Path) -> None:
        file = tmp_path / "spec.json"
        file.write_text(json.dumps({**TRAIN, "seed": 5}))
        command = ("jobs", "train", "--spec", str(file), "--epochs", "9", "--no-wait", "--json")
        spec = json.loads(cleave(*command, live=live).stdout)["spec"]
        assert (spec["seed"], spec["epochs"]) == (5, 9)

    def test_cancel_show_events_wait(self, live: LiveService, client: CleaveClient) -> None:
        job = client.jobs.create(TRAIN)
        assert json.loads(cleave("jobs", "pause", job.id, "--json", live=live).stdout)["paused"] is True
        assert cleave("jobs", "resume", job.id, live=live).stdout == f"{job.id} is queued\n"
        assert (
            json.loads(cleave("jobs", "cancel", job.id, "--json", live=live).stdout)["state"] == "cancelled"
        )
        assert job.id in cleave("jobs", "show", job.id, live=live).stdout
        events = json.loads(cleave("jobs", "events", job.id, "--json", live=live).stdout)
        assert events[-1]["type"] == "job.done"
        followed = cleave("jobs", "events", job.id, "--follow", "--json", live=live).stdout.splitlines()
        assert [json.loads(line)["seq"] for line in followed] == [event["seq"] for event in events]
        waited = cleave("jobs", "wait", job.id, "--json", live=live)
        assert json.loads(waited.stdout)["state"] == "cancelled"
        assert waited.exit_code == 1
        assert json.loads(waited.stderr)["code"] == "cancelled"


class TestRefusals:
    def test_nobody_listens(self) -> None:
        result = CliRunner().invoke(app, ["--url", "http://127.0.0.1:9", "jobs", "list"])
        assert result.exit_code == 1
        assert result.stderr.startswith("error [connection_failed]: no answer from http://127.0.0.1:9")
        assert "cleave up" in result.stderr

    def test_no_key(self, live: LiveService) -> None:
        result = CliRunner().invoke(app, ["--url", live.url, "jobs", "list"], env={"CLEAVE_API_KEY": ""})
        assert (result.exit_code, result.stderr.split(":")[0]) == (1, "error [unauthorized]")
        assert "CLEAVE_API_KEY" in result.stderr

    def test_unknown_architecture(self, live: LiveService) -> None:
        result = cleave("jobs", "train", "--architecture", "perceptron", "--dataset", "digits", live=live)
        assert result.exit_code == 1
        assert result.stderr.startswith("error [unknown_architecture]")
        assert "/architecture" in result.stderr
        assert result.stdout == ""

    def test_negative_epochs(self, live: LiveService) -> None:
        result = cleave("jobs", "train", *TRAIN_OPTIONS, "--epochs", "-4", live=live)
        assert (result.exit_code, result.stderr.count("/epochs"), result.stderr.count("\n")) == (1, 1, 1)

    def test_each_of_several_mistakes_is_told_once(self, live: LiveService) -> None:
        result = cleave("jobs", "train", *TRAIN_OPTIONS, "--epochs", "-4", "--set", "colour=red", live=live)
        assert result.exit_code == 1
        assert [result.stderr.count(name) for name in ("/epochs", "/colour")] == [1, 1]
        assert result.stderr.startswith("error [invalid_request]: The request is not valid\n")

    def test_with_json_a_refusal_is_the_problem_document(self, live: LiveService) -> None:
        options = (*TRAIN_OPTIONS, "--epochs", "-4", "--set", "colour=red", "--json")
        result = cleave("jobs", "train", *options, live=live)
        assert (result.exit_code, result.stdout) == (1, "")
        problem = json.loads(result.stderr)
        assert (problem["code"], problem["status"]) == ("invalid_request", 422)
        assert problem["request_id"].startswith("req_")
        assert {error["pointer"] for error in problem["errors"]} == {"/epochs", "/colour"}

    @pytest.mark.parametrize(
        ("command", "code", "status"),
        [
            ("--url http://127.0.0.1:9 jobs list --json", "connection_failed", 1),
            ("--api-key \u043a jobs list --json", "invalid_api_key", 1),
            ("up --port 99999 --json", "invalid_settings", 2),
            ("jobs train --spec {file} --json", "invalid_spec_file", 1),
        ],
    )
    def test_with_json_a_refusal_of_the_command_itself_is_json_too(
        self, tmp_path: Path, command: str, code: str, status: int
    ) -> None:
        file = tmp_path / "spec.json"
        file.write_text("{")
        result = cleave(*(word.format(file=file) for word in command.split()))
        assert (result.exit_code, result.stdout) == (status, "")
        problem = json.loads(result.stderr)
        assert problem["code"] == code
        assert problem["detail"]

    def test_json_of_one_command_is_not_remembered_by_the_next(self, live: LiveService) -> None:
        assert cleave("jobs", "show", "job_0", "--json", live=live).stderr.startswith("{")
        assert cleave("jobs", "show", "job_0", live=live).stderr.startswith("error [not_found]")

    def test_foreign_ids(self, live: LiveService) -> None:
        shown = ("models show mdl_0", "modules show mod_0", "jobs show job_0")
        for command in (*shown, "jobs cancel job_0", "download art_0", "download cmp_0"):
            result = cleave(*command.split(), live=live)
            assert (result.exit_code, result.stderr.split(":")[0]) == (1, "error [not_found]"), command

    def test_class_nobody_knows(self, live: LiveService) -> None:
        result = cleave("compose", "giraffe", live=live)
        assert (result.exit_code, result.stderr.split(":")[0]) == (1, "error [no_module_for_class]")

    def test_malformed_setting_is_a_usage_error(self, live: LiveService) -> None:
        assert cleave("jobs", "train", *TRAIN_OPTIONS, "--set", "epochs", live=live).exit_code == 2

    def test_spec_file_that_is_not_json(self, live: LiveService, tmp_path: Path) -> None:
        (tmp_path / "spec.json").write_text("{")
        result = cleave("jobs", "train", "--spec", str(tmp_path / "spec.json"), live=live)
        assert (result.exit_code, result.stderr.split(":")[0]) == (1, "error [invalid_spec_file]")

    def test_port_in_use(self, live: LiveService, tmp_path: Path) -> None:
        port = live.url.rpartition(":")[2]
        result = cleave("up", "--port", port, "--data-dir", str(tmp_path))
        assert (result.exit_code, result.stderr.split(":")[0]) == (1, "error [port_in_use]")

    def test_no_auth_on_a_public_address(self, tmp_path: Path) -> None:
        result = cleave("up", "--host", "0.0.0.0", "--no-auth", "--data-dir", str(tmp_path))
        assert (result.exit_code, result.stderr.split(":")[0]) == (1, "error [auth_required]")

    def test_port_that_is_no_port(self, tmp_path: Path) -> None:
        result = cleave("up", "--port", "99999", "--data-dir", str(tmp_path))
        assert (result.exit_code, result.stderr.split(":")[0]) == (2, "error [invalid_settings]")
        assert "CLEAVE_PORT" in result.stderr


class TestDownload:
    def test_verified_and_described(self, live: LiveService, tmp_path: Path) -> None:
        artifact_id, blob = live.publish(b"weights", tmp_path, "module_3.safetensors")
        result = cleave("download", artifact_id, str(tmp_path), "--json", live=live)
        [done] = json.loads(result.stdout)
        assert (done["sha256"], done["size"]) == (blob.sha256, 7)
        assert Path(done["path"]).read_bytes() == b"weights"

    def test_wrong_digest(self, live: LiveService, tmp_path: Path) -> None:
        artifact_id, _ = live.publish(b"weights", tmp_path)
        result = cleave("download", artifact_id, str(tmp_path), "--sha256", "0" * 64, live=live)
        assert (result.exit_code, result.stderr.split(":")[0]) == (1, "error [digest_mismatch]")


class TestLocal:
    def test_db_upgrade_twice(self, tmp_path: Path) -> None:
        first, second = (cleave("db", "upgrade", "--data-dir", str(tmp_path), "--json") for _ in range(2))
        assert json.loads(first.stdout) == json.loads(second.stdout)

    @pytest.mark.parametrize("command", ["api --port 0", "dispatcher", "worker --queue train"])
    def test_a_long_running_command_tells_once_that_it_is_ready(self, command: str, tmp_path: Path) -> None:
        assert cleave("db", "upgrade", "--data-dir", str(tmp_path)).exit_code == 0
        arguments = [*command.split(), "--data-dir", str(tmp_path), "--json"]
        with subprocess.Popen(
            [sys.executable, "-m", "service.cli", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            try:
                assert select.select([process.stdout], [], [], 60)[0], "it never said that it is ready"
                ready = json.loads(process.stdout.readline())
                if "url" in ready:
                    assert httpx.get(f"{ready['url']}/livez").status_code == 200
                process.terminate()
                rest, log = process.communicate(timeout=30)
            finally:
                process.kill()
        assert ready["data_dir"] == str(tmp_path)
        assert (rest, b"Traceback" in log) == (b"", False)

    def test_help_loads_nothing_heavy(self) -> None:
        code = (
            "import sys; from service.cli.main import app; from typer.testing import CliRunner; "
            "CliRunner().invoke(app, ['--help']); heavy = 'torch celery fastapi sqlalchemy httpx pydantic'; "
            "print([name for name in heavy.split() if name in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"
