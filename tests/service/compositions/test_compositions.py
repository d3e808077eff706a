"""Choosing modules, and one row for each distinct request."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from service.jobs import leases
from service.jobs.states import JobState
from service.jobs.tables import Job
from service.jobs.transitions import move
from tests.fixtures.client import Account, Api


@pytest.fixture
def model_id(account: Account) -> str:
    return account.registry.train()


def compose(account: Account, **body: Any) -> Any:
    return account.http.post("/v1/compositions", json=body)


class TestChoice:
    def test_best_validation_f1_wins_for_each_class(self, account: Account, model_id: str) -> None:
        first = account.registry.extract(model_id, {"cat": 0.9, "dog": 0.5, "truck": 0.7})
        second = account.registry.extract(model_id, {"cat": 0.6, "dog": 0.8, "truck": None})

        answer = compose(account, classes=["dog", "cat", "truck"])

        assert answer.status_code == 202
        composition = answer.json()["composition"]
        assert composition["module_ids"] == [second[1], first[0], first[2]]
        assert composition["classes"] == ["dog", "cat", "truck"]
        assert (
            answer.json()["job"]["spec"] | {"module_ids": composition["module_ids"]}
            == answer.json()["job"]["spec"]
        )
        assert answer.json()["job"]["spec"]["composition_id"] == composition["id"]

    def test_modules_of_the_wanted_form_come_first(self, account: Account, model_id: str) -> None:
        account.registry.extract(model_id, {"cat": 0.99}, form="gated")
        static = account.registry.extract(model_id, {"cat": 0.5}, form="static")

        answer = compose(account, classes=["cat"], form="static")

        assert answer.json()["composition"]["module_ids"] == static

    def test_no_form_means_the_form_that_will_be_built(self, account: Account, model_id: str) -> None:
        gated = account.registry.extract(model_id, {"cat": 0.5}, form="gated")
        account.registry.extract(model_id, {"cat": 0.99}, form="static")

        left_open = compose(account, classes=["cat"]).json()["composition"]
        named = compose(account, classes=["cat"], form="gated").json()["composition"]

        assert (left_open["module_ids"], left_open["form"]) == (gated, "gated")
        assert left_open["id"] == named["id"]

    def test_modules_of_several_classes_are_not_chosen(self, account: Account, model_id: str) -> None:
        account.registry.extract(model_id, {"cat+dog": 0.99, "cat": 0.4})

        answer = compose(account, classes=["cat", "dog"])

        assert answer.status_code == 422
        assert answer.json()["code"] == "no_module_for_class"
        assert [e["pointer"] for e in answer.json()["errors"]] == ["/classes/1"]

    def test_the_model_with_the_best_mean_wins(self, account: Account, model_id: str) -> None:
        account.registry.extract(model_id, {"cat": 0.99, "dog": 0.1})
        better = account.registry.train()
        account.registry.extract(better, {"cat": 0.8, "dog": 0.8})

        assert compose(account, classes=["cat", "dog"]).json()["composition"]["model_id"] == better
        named = compose(account, classes=["cat", "dog"], model_id=model_id)
        assert named.json()["composition"]["model_id"] == model_id

    def test_classes_spread_over_models_are_refused(self, account: Account, model_id: str) -> None:
        account.registry.extract(model_id, {"cat": 0.9})
        account.registry.extract(account.registry.train(), {"dog": 0.9})

        answer = compose(account, classes=["cat", "dog"])

        assert (answer.status_code, answer.json()["code"]) == (422, "no_module_for_class")
        assert "single model" in answer.json()["detail"]

    def test_classes_default_to_those_of_the_named_modules(self, account: Account, model_id: str) -> None:
        module_ids = account.registry.extract(model_id, {"dog+cat": 0.9, "cat": 0.9})

        answer = compose(account, module_ids=module_ids)

        assert answer.json()["composition"]["classes"] == ["dog", "cat"]


class TestRefusals:
    def test_a_class_the_model_does_not_know(self, account: Account, model_id: str) -> None:
        account.registry.extract(model_id, {"cat": 0.9})
        answer = compose(account, classes=["cat", "unicorn"], model_id=model_id)
        assert (answer.status_code, answer.json()["code"]) == (422, "class_not_in_model")
        assert answer.json()["errors"][0]["pointer"] == "/classes/1"

    def test_modules_of_different_models(self, account: Account, model_id: str) -> None:
        one = account.registry.extract(model_id, {"cat": 0.9})
        other = account.registry.extract(account.registry.train(), {"dog": 0.9})
        answer = compose(account, module_ids=one + other)
        assert (answer.status_code, answer.json()["code"]) == (422, "modules_of_different_models")

    def test_named_modules_that_do_not_know_a_class(self, account: Account, model_id: str) -> None:
        module_ids = account.registry.extract(model_id, {"cat": 0.9})
        answer = compose(account, module_ids=module_ids, classes=["cat", "dog"])
        assert (answer.status_code, answer.json()["code"]) == (422, "no_module_for_class")

    def test_gates_of_a_network_that_has_none(self, account: Account) -> None:
        model_id = account.registry.train(approach="standard")
        module_ids = account.registry.extract(model_id, {"cat": 0.9}, form="static")
        answer = compose(account, module_ids=module_ids, form="gated")
        assert (answer.status_code, answer.json()["code"]) == (422, "form_unsupported")
        assert compose(account, module_ids=module_ids, form="static").status_code == 202

    def test_another_tenants_module_and_model(
        self, account: Account, stranger: Account, model_id: str
    ) -> None:
        module_ids = account.registry.extract(model_id, {"cat": 0.9})
        assert compose(stranger, module_ids=module_ids).status_code == 404
        assert compose(stranger, classes=["cat"], model_id=model_id).status_code == 404
        assert compose(stranger, classes=["cat"]).json()["code"] == "no_module_for_class"

    def test_nothing_is_left_behind_by_a_refusal(self, account: Account) -> None:
        assert compose(account, classes=["cat"]).status_code == 422
        assert account.http.get("/v1/compositions").json()["data"] == []
        assert account.http.get("/v1/jobs").json()["data"] == []


class TestIdentity:
    def test_an_identical_request_waits_for_the_same_job_then_finds_it_built(
        self, account: Account, model_id: str
    ) -> None:
        account.registry.extract(model_id, {"cat": 0.9, "dog": 0.9})
        first = compose(account, classes=["cat", "dog"])
        again = compose(account, classes=["cat", "dog"], formats=["pt2", "safetensors"])
        assert (first.status_code, again.status_code) == (202, 202)
        assert again.json()["job"]["id"] == first.json()["job"]["id"]

        account.registry.build(Job(id=first.json()["job"]["id"], spec=first.json()["job"]["spec"]))
        built = compose(account, classes=["cat", "dog"])
        assert built.status_code == 200
        assert built.headers["Location"] == f"/v1/compositions/{first.json()['composition']['id']}"
        assert built.json()["composition"]["ready"] is True
        assert built.json()["composition"]["parameters"] == 500
        assert {a["role"] for a in built.json()["composition"]["artifacts"]} == {
            "weights",
            "recipe",
            "program",
        }

    @pytest.mark.parametrize(
        "change",
        [{"classes": ["dog", "cat"]}, {"form": "static"}, {"formats": ["safetensors"]}, {"evaluate": False}],
    )
    def test_other_options_make_another(
        self, account: Account, model_id: str, change: dict[str, Any]
    ) -> None:
        account.registry.extract(model_id, {"cat": 0.9, "dog": 0.9})
        base: dict[str, Any] = {"classes": ["cat", "dog"]}
        first, second = compose(account, **base).json(), compose(account, **{**base, **change}).json()
        assert first["composition"]["id"] != second["composition"]["id"]

    def test_amplitudes_do_not_matter_to_gates(self, account: Account, model_id: str) -> None:
        account.registry.extract(model_id, {"cat": 0.9})
        ids = {
            compose(account, classes=["cat"], fold_amplitudes=fold).json()["composition"]["id"]
            for fold in (True, False)
        }
        assert len(ids) == 1

    @pytest.mark.parametrize("end", [JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED])
    def test_a_failed_one_gets_a_new_job_for_the_same_row(
        self, api: Api, account: Account, model_id: str, end: JobState
    ) -> None:
        account.registry.extract(model_id, {"cat": 0.9})
        first = compose(account, classes=["cat"]).json()
        with api.database.write() as session:
            if end is JobState.FAILED:
                leases.claim(session, first["job"]["id"], "wrk_test", 60.0)
            assert move(session, first["job"]["id"], end) is not None

        second = compose(account, classes=["cat"]).json()

        assert second["composition"]["id"] == first["composition"]["id"]
        assert second["job"]["id"] != first["job"]["id"]
        assert second["composition"]["job_id"] == second["job"]["id"]

    def test_many_at_once_make_one(self, account: Account, model_id: str) -> None:
        account.registry.extract(model_id, {"cat": 0.9})
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: compose(account, classes=["cat"]), range(8)))
        assert {answer.status_code for answer in answers} == {202}
        assert len({answer.json()["composition"]["id"] for answer in answers}) == 1
        assert len({answer.json()["job"]["id"] for answer in answers}) == 1

    def test_the_job_kind_finds_it_too(self, account: Account, model_id: str) -> None:
        account.registry.extract(model_id, {"cat": 0.9})
        made = compose(account, classes=["cat"]).json()
        job = account.http.post("/v1/jobs", json={"kind": "compose", "classes": ["cat"]})
        assert job.json()["id"] == made["job"]["id"]

    def test_a_repeated_key_answers_as_the_first_time(self, account: Account, model_id: str) -> None:
        account.registry.extract(model_id, {"cat": 0.9})
        headers = {"Idempotency-Key": "k1"}
        first = account.http.post("/v1/compositions", json={"classes": ["cat"]}, headers=headers)
        account.registry.build(Job(id=first.json()["job"]["id"], spec=first.json()["job"]["spec"]))
        again = account.http.post("/v1/compositions", json={"classes": ["cat"]}, headers=headers)
        other = account.http.post("/v1/compositions", json={"classes": ["dog"]}, headers=headers)
        assert again.json() == first.json()
        assert (again.status_code, again.headers["Idempotency-Replayed"]) == (202, "true")
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
