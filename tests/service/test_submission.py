"""What a job names must be there, and fit: told at once, not by the worker."""

from tests.fixtures.client import Account
from tests.fixtures.problems import problem

TRAIN = {"kind": "train", "architecture": "small_cnn", "dataset": "digits"}


class TestSubmission:
    def test_gates_of_a_standard_model(self, account: Account) -> None:
        model_id = account.registry.train(approach="standard")
        body = {"kind": "extract", "model_id": model_id, "form": "gated"}
        assert problem(account.http.post("/v1/jobs", json=body))["code"] == "form_unsupported"
        assert account.http.post("/v1/jobs", json={**body, "form": "static"}).status_code == 202

    def test_a_class_the_model_does_not_know(self, account: Account) -> None:
        model_id = account.registry.train()
        extract = {"kind": "extract", "model_id": model_id, "classes": [["cat"], ["unicorn"]]}
        evaluate = {"kind": "evaluate", "target_id": model_id, "classes": ["unicorn"]}
        for body in (extract, evaluate):
            assert problem(account.http.post("/v1/jobs", json=body))["code"] == "class_not_in_model"

    def test_what_does_not_exist(self, account: Account) -> None:
        for body in (
            {"kind": "extract", "model_id": "mdl_0"},
            {"kind": "compose", "module_ids": ["mod_0"]},
            {"kind": "evaluate", "target_id": "mod_0"},
            {"kind": "evaluate", "target_id": "art_0"},
        ):
            assert problem(account.http.post("/v1/jobs", json=body))["status"] == 404

    def test_a_composition_that_is_not_built(self, account: Account) -> None:
        account.registry.extract(account.registry.train(), {"cat": 0.9})
        made = account.http.post("/v1/compositions", json={"classes": ["cat"]}).json()["composition"]
        body = problem(account.http.post("/v1/jobs", json={"kind": "evaluate", "target_id": made["id"]}))
        assert (body["status"], body["code"]) == (409, "composition_not_ready")
