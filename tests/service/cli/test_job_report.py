"""What a person sees of jobs and the registry: names and figures, and an answer where there is nothing."""

import json
import re

import pytest
from typer.testing import CliRunner, Result

from service.cli.main import app
from service.jobs.tables import Job
from service.models.tables import Metric
from tests.fixtures.client import Account, Api


class Shell:
    """The command line as one tenant uses it."""

    def __init__(self, api: Api, account: Account) -> None:
        self._where = ("--url", api.url, "--api-key", account.key)
        self.api, self.account = api, account

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, [*self._where, *arguments], env={"COLUMNS": "250"})

    def told(self, *arguments: str) -> str:
        """Words with single spaces, of a command that succeeds."""
        result = self.run(*arguments)
        assert (result.exit_code, result.stderr) == (0, ""), result.stderr
        return re.sub(r"[ \u2502]+", " ", result.stdout)

    def newest_job(self) -> str:
        return str(self.account.http.get("/v1/jobs").json()["data"][0]["id"])


@pytest.fixture
def shell(api: Api, account: Account) -> Shell:
    return Shell(api, account)


class TestFinishedJobs:
    @pytest.mark.parametrize("command", ["show", "wait"])
    def test_a_training_shows_its_model_and_figures(self, shell: Shell, command: str) -> None:
        model_id = shell.account.registry.train()
        told = shell.told("jobs", command, shell.newest_job())
        for line in (f"model {model_id}", "parameters 1,000", "accuracy (test) 90.0 %", "progress - 100 %"):
            assert line in told, told
        assert "accuracy (validation) -" in told  # not measured by this job

    def test_an_extraction_shows_the_class_beside_each_module(self, shell: Shell) -> None:
        model_id = shell.account.registry.train()
        modules = shell.account.registry.extract(model_id, {"cat": 0.81, "dog+truck": 0.72, "dog": None})
        told = shell.told("jobs", "show", shell.newest_job())
        assert f"model {model_id}" in told
        cat, both, dog = modules
        assert f"{cat} cat 500 0.81 -" in told, told
        assert f"{both} dog, truck 500 0.72 -" in told
        assert f"{dog} dog 500 - -" in told
        assert "cohesion validation 0.7" in told
        assert "form gated" in told

    def test_more_modules_than_a_page_holds(self, shell: Shell) -> None:
        model_id = shell.account.registry.train()
        wanted = shell.account.registry.extract(model_id, {"cat": 0.81})[0]
        job_id = shell.newest_job()
        shell.account.registry.extract(model_id, dict.fromkeys([f"cat+{n}" for n in range(201)], 0.5))
        assert f"{wanted} cat 500" in shell.told("jobs", "show", job_id)

    def test_a_composition_shows_classes_and_size(self, shell: Shell) -> None:
        registry = shell.account.registry
        registry.extract(registry.train(), {"cat": 0.8, "dog": 0.9})
        made = registry.compose({"classes": ["dog", "cat"]})["composition_id"]
        told = shell.told("jobs", "show", shell.newest_job())
        assert f"composition {made}" in told
        assert "classes dog, cat" in told
        assert "parameters 500" in told

    def test_an_evaluation_is_complete_and_shows_what_it_measured(self, shell: Shell) -> None:
        model_id = shell.account.registry.train()
        shell.account.registry.evaluate(model_id, 0.83)
        told = shell.told("jobs", "show", shell.newest_job())
        assert f"measured {model_id}" in told
        assert "accuracy test 0.83" in told
        assert "100 %" in told
        listed = json.loads(shell.run("jobs", "list", "--json").stdout)["data"]
        assert {job["progress"]["percent"] for job in listed} == {100.0}

    def test_times_have_no_fractions(self, shell: Shell) -> None:
        shell.account.registry.train()
        told = shell.told("jobs", "show", shell.newest_job()) + shell.told("jobs", "list")
        assert re.findall(r"\d\d:\d\d:\d\d UTC", told)
        assert not re.search(r"\d\d:\d\d:\d\d\.\d", told)


class TestOnward:
    def test_retry_submits_the_spec_of_an_ended_job(self, shell: Shell) -> None:
        shell.account.registry.train()
        old = shell.newest_job()
        new = json.loads(shell.run("jobs", "retry", old, "--no-wait", "--json").stdout)
        assert new["id"] != old
        assert (new["state"], new["spec"]["architecture"]) == ("queued", "small_cnn")
        refused = shell.run("jobs", "retry", new["id"])
        assert (refused.exit_code, refused.stderr.split(":")[0]) == (1, "error [conflict]")

    def test_a_spec_of_an_older_version_is_refused_by_name(self, shell: Shell) -> None:
        shell.account.registry.train()
        job_id = shell.newest_job()
        with shell.api.database.write() as session:
            job = session.get_one(Job, job_id)
            job.spec = {**job.spec, "epochs": "many"}
        refused = shell.run("jobs", "retry", job_id)
        assert (refused.exit_code, refused.stderr.split(":")[0]) == (1, "error [invalid_request]")

    def test_metrics_are_the_curves(self, shell: Shell) -> None:
        shell.account.registry.train()
        job_id, tenant_id = shell.newest_job(), shell.account.tenant_id
        assert "has reported no figures" in shell.told("jobs", "metrics", job_id)
        with shell.api.database.write() as session:
            for epoch, loss in enumerate((0.9, 0.25), 1):
                session.add(Metric(tenant_id=tenant_id, job_id=job_id, name="loss", value=loss, epoch=epoch))
            session.add(Metric(tenant_id=tenant_id, job_id=job_id, name="accuracy", value=0.5, epoch=1))
        assert "2 loss - - 0.25" in shell.told("jobs", "metrics", job_id, "--name", "loss")
        found = json.loads(shell.run("jobs", "metrics", job_id, "--json").stdout)
        assert [(m["epoch"], m["name"], m["value"]) for m in found][:2] == [
            (1, "loss", 0.9),
            (2, "loss", 0.25),
        ]
        assert len(found) == 3


class TestNothing:
    def test_a_class_that_no_module_knows(self, shell: Shell) -> None:
        assert "no module knows 'giraffe'" in shell.told("classes", "giraffe")

    @pytest.mark.parametrize("command", ["jobs", "models", "modules"])
    def test_an_empty_list(self, shell: Shell, command: str) -> None:
        assert f"{command}: none" in shell.told(command, "list")

    def test_datasets_say_whether_their_files_are_there(self, shell: Shell) -> None:
        *lines, hint = shell.told("datasets").splitlines()
        assert [line.endswith("360 yes ") for line in lines if " digits " in line] == [True]
        assert [line.endswith("26,032 no ") for line in lines if " svhn " in line] == [True]
        assert "CLEAVE_DATA_ROOT" in hint
