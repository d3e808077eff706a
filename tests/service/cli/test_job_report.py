"""What a person sees of jobs and the registry: names and figures, and an answer where there is nothing."""

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import delete

from service.cli.events import event_line
from service.cli.job_report import show_points
from service.client.schemas import Event
from service.jobs.tables import Job, JobAttempt, Worker
from service.models.tables import Metric
from tests.fixtures.shell import Shell


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
        assert " on " not in told
        assert "accuracy test 83.0 %" in told
        assert "100 %" in told
        listed = json.loads(shell.run("jobs", "list", "--json").stdout)["data"]
        assert {job["progress"]["percent"] for job in listed} == {100.0}

    def test_on_other_data_it_says_which(self, shell: Shell) -> None:
        model_id = shell.account.registry.train(classes=["1", "cat"], dataset="mnist")
        shell.account.registry.evaluate(
            model_id, 0.83, dataset="digits", left_out={"2": 30, "3": 12}, without=["cat"]
        )
        told = shell.told("jobs", "show", shell.newest_job())
        for line in ("on digits", "images of unknown classes 42", "classes without images cat"):
            assert line in told, told
        assert "test of digits" in shell.told("models", "show", model_id)
        options = ("--dataset", "digits", "--split", "test", "--no-wait", "--json")
        spec = json.loads(shell.run("jobs", "evaluate", model_id, *options).stdout)["spec"]
        assert (spec["dataset"], spec["split"]) == ("digits", "test")

    def test_times_have_no_fractions(self, shell: Shell) -> None:
        shell.account.registry.train()
        told = shell.told("jobs", "show", shell.newest_job()) + shell.told("jobs", "list")
        assert re.findall(r"\d\d:\d\d:\d\d UTC", told)
        assert not re.search(r"\d\d:\d\d:\d\d\.\d", told)


class TestShares:
    def test_are_told_in_percent_by_each_command(self, shell: Shell) -> None:
        model_id = shell.account.registry.train()
        modules = shell.account.registry.extract(model_id, {"cat": 0.8, "dog": 0.9}, parameter_rate=1.0)
        shell.account.registry.evaluate(model_id, 0.83)
        assert "of the standard network 100.0 %" in shell.told("modules", "show", modules[0])
        assert "parameter_rate 100.0 % 100.0 %" in shell.told("modules", "compare", *modules, "--all")
        assert "accuracy test - 83.0 %" in shell.told("models", "show", model_id)
        assert "83.0 %" in shell.told("models", "list", "--split", "test")
        assert "f1 validation 0.8" in shell.told("modules", "compare", *modules, "--all")  # none


class TestEvents:
    @pytest.mark.parametrize(
        ("kind", "data", "told"),
        [
            ("job.state", {"state": "running"}, "state running"),
            ("job.state", {"state": "queued", "paused": True}, "state queued, paused"),
            ("job.attempt", {"attempt": 2, "worker_id": "wrk_1"}, "attempt attempt 2, worker id wrk_1"),
            (
                "job.progress",
                {"phase": "train", "epoch": 4, "epochs": 10, "percent": 40.2, "eta_seconds": 24.5},
                "progress train, epoch 4/10, 40 %",
            ),
            ("job.progress", {"phase": None, "percent": None}, "progress starting"),
            (
                "job.metric",
                {
                    "metrics": [
                        {"name": "loss", "value": 0.51234567, "split": "train", "epoch": 4},
                        {"name": "accuracy", "value": 0.943, "split": "validation", "epoch": 4},
                        *({"name": "class_accuracy", "value": 0.9, "class_name": str(n)} for n in range(100)),
                    ]
                },
                "metric loss train 0.5123, accuracy validation 94.3 %, 100 by class",
            ),
            (
                "job.checkpoint",
                {"path": "step-000080", "epoch": 4, "step": 80, "metrics": {"loss": 0.2}},
                "checkpoint epoch 4, step 80, path step-000080",
            ),
            ("job.log", {"level": "warning", "message": "slow"}, "log warning: slow"),
            (
                "job.done",
                {
                    "state": "succeeded",
                    "error": None,
                    "result": {"model_id": "mdl_1", "module_ids": ["a", "b"]},
                },
                "done succeeded, model mdl_1, 2 modules",
            ),
            (
                "job.done",
                {"state": "failed", "error": {"code": "crashed", "message": "It died."}, "result": None},
                "done failed, crashed: It died.",
            ),
        ],
    )
    def test_each_is_one_short_line(self, kind: str, data: dict[str, Any], told: str) -> None:
        event = Event(
            seq=7, type=kind, ts=datetime(2026, 1, 15, 10, 3, 20, tzinfo=UTC), job_id="job_1", data=data
        )
        assert re.sub(" +", " ", event_line(event)) == f" 7 2026-01-15 10:03:20 UTC {told}"

    def test_those_of_a_job(self, shell: Shell) -> None:
        shell.account.registry.train()
        told = shell.told("jobs", "events", shell.newest_job())
        assert "{" not in told
        assert "done succeeded, model mdl_" in told


def test_modules_of_several_classes_need_no_json(shell: Shell) -> None:
    model_id = shell.account.registry.train()
    options = ("--class", "cat", "--classes", "dog,truck", "--no-wait", "--json")
    spec = json.loads(shell.run("jobs", "extract", model_id, *options).stdout)["spec"]
    assert spec["classes"] == [["cat"], ["dog", "truck"]]


class TestCompositions:
    def test_are_found_again_and_say_what_they_are_made_of(self, shell: Shell) -> None:
        registry = shell.account.registry
        modules = registry.extract(registry.train(), {"cat": 0.8, "dog": 0.9})
        made = registry.compose({"classes": ["dog", "cat"]})["composition_id"]
        assert f"{made} dog, cat" in shell.told("compositions", "list", "--class", "cat")
        assert "classes dog, cat" in shell.told("compositions", "show", made)
        lineage = shell.told("compositions", "lineage", made)
        assert f"made of {modules[1]} {modules[0]}" in lineage
        assert "compositions" not in lineage


class TestWaiting:
    def test_a_paused_job_says_so(self, shell: Shell) -> None:
        options = ("--architecture", "small_cnn", "--dataset", "digits", "--no-wait")
        assert "is queued" in shell.told("jobs", "train", *options)
        job_id = shell.newest_job()
        assert shell.told("jobs", "pause", job_id) == f"{job_id} is pending, paused\n"
        assert "pending, paused" in shell.told("jobs", "list")
        assert "state pending, paused" in shell.told("jobs", "show", job_id)

    def test_several_unknown_classes_are_told_with_those_there_are(self, shell: Shell) -> None:
        model_id = shell.account.registry.train()
        refused = shell.run("compose", "giraffe", "cat", "gnu", "--model", model_id)
        assert "No class 'giraffe', 'gnu'; known are: cat, dog, truck" in refused.stderr
        assert "/classes/2: not known" in refused.stderr


class TestSweeps:
    def test_sizes_that_do_not_change_are_explained(self, capsys: pytest.CaptureFixture[str]) -> None:
        module = {"class_name": "cat", "retention_rate": 0.5, "parameters": 5, "parameter_rate": 0.5}
        module |= {"flops": 7, "flops_rate": 0.5, "f1_validation": None}
        points = [{"threshold": at, "coupling": None, "modules": [module]} for at in (0.1, 0.9)]
        show_points(points)
        assert "same at each threshold" in capsys.readouterr().out
        points[1] = {**points[1], "modules": [{**module, "parameters": 4}]}
        show_points(points)
        assert "same at each threshold" not in capsys.readouterr().out


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

    def test_a_waiting_job_says_what_for(self, shell: Shell) -> None:
        spec = {"kind": "train", "architecture": "small_cnn", "dataset": "digits", "device": "cuda"}
        job_id = str(shell.account.http.post("/v1/jobs", json=spec).json()["id"])

        def waits_for() -> str:
            told = shell.told("jobs", "show", job_id)
            return told.partition("waits for ")[2].splitlines()[0]

        assert waits_for() == "a worker of queue train that may have a GPU: none is alive"
        place = {"hostname": "h", "pid": 1, "queues": ["train"]}
        with shell.api.database.write() as session:
            session.add(Worker(id="wrk_1", device="cpu", **place))
            session.add(Worker(id="wrk_2", device="auto", **place))
        assert waits_for().startswith("the dispatcher (a worker of queue train that may have a GPU is idle)")
        with shell.api.database.write() as session:
            session.get_one(Worker, "wrk_2").draining = True
        assert waits_for() == "a worker of queue train that may have a GPU: 0 busy, none idle"
        shell.run("jobs", "pause", job_id)
        assert waits_for() == f"`cleave jobs resume {job_id}`"

    def test_attempts_say_which_worker_and_why_they_ended(self, shell: Shell) -> None:
        shell.account.registry.train()
        job_id = shell.newest_job()
        with shell.api.database.write() as session:
            session.execute(delete(JobAttempt).where(JobAttempt.job_id == job_id))
        assert "has not been begun" in shell.told("jobs", "attempts", job_id)
        with shell.api.database.write() as session:
            ending = {"outcome": "lost", "cause": "infra", "exit_code": -9, "message": "The runner ended."}
            place = {
                "job_id": job_id, "tenant_id": shell.account.tenant_id, "lease_token": 1, "worker_id": "wrk_7"
            }  # fmt: skip
            session.add(JobAttempt(attempt=1, **place, **ending))
            session.add(JobAttempt(attempt=2, **place, resumed_from="epoch-00002.safetensors"))
        told = shell.told("jobs", "attempts", job_id)
        for line in ("worker wrk_7", "ended lost, cause infra", "exit code -9", "message The runner ended."):
            assert line in told, told
        assert "ended no: it runs" in told.partition("attempt 2")[2]
        assert "began at epoch-00002.safetensors" in told
        found = json.loads(shell.run("jobs", "attempts", job_id, "--json").stdout)
        assert [attempt["outcome"] for attempt in found] == ["lost", None]

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

    @pytest.mark.parametrize("command", ["jobs", "models", "modules", "compositions"])
    def test_an_empty_list(self, shell: Shell, command: str) -> None:
        assert f"{command}: none" in shell.told(command, "list")

    def test_datasets_say_whether_their_files_are_there(self, shell: Shell) -> None:
        *lines, hint = shell.told("datasets").splitlines()
        assert [line.endswith("360 yes ") for line in lines if " digits " in line] == [True]
        assert [line.endswith("26,032 no ") for line in lines if " svhn " in line] == [True]
        assert "CLEAVE_DATA_ROOT" in hint
