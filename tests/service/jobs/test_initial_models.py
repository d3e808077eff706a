"""Trainings that start from a model: what is refused, which files the runner gets, and what stands in the way
of removing that model.
"""

from typing import Any

from core.results import InitialReport
from core.specs import parse_job_spec
from service.inputs import job_inputs
from service.platform.storage import open_store
from tests.fixtures.client import Account, Api
from tests.fixtures.problems import problem


def training(model_id: str, **values: Any) -> dict[str, Any]:
    spec = {"kind": "train", "architecture": "small_cnn", "dataset": "digits", **values}
    return {**spec, "initial_model_id": model_id}


def report(model_id: str) -> InitialReport:
    return InitialReport(
        model_id=model_id,
        weights_sha256="a" * 64,
        taken=3,
        head="new",
        new=["head.weight"],
        left=0,
        same_normalisation=True,
    )


def test_its_files_are_beside_the_teachers(api: Api, account: Account) -> None:
    """Any model of the architecture, of whatever classes."""
    model_id = account.registry.train()
    answer = account.http.post("/v1/jobs", json=training(model_id))
    assert answer.status_code == 202, answer.text
    assert answer.json()["spec"]["initial_model_id"] == model_id
    with api.database.read(account.tenant_id) as session:
        files = job_inputs(session, open_store(api.settings), parse_job_spec(answer.json()["spec"]))
    artifacts = account.http.get(f"/v1/models/{model_id}").json()["artifacts"]
    content = {a["role"]: account.http.get(a["url"]).content for a in artifacts}
    assert {role: path.read_bytes() for role, path in files.items()} == {
        "initial:weights": content["weights"],
        "initial:recipe": content["recipe"],
    }


def test_another_architecture_and_anothers_model_are_refused(account: Account, stranger: Account) -> None:
    model_id = account.registry.train()
    refusal = problem(account.http.post("/v1/jobs", json=training(model_id, architecture="vit_small")))
    assert (refusal["status"], refusal["code"]) == (422, "initial_model_mismatch")
    assert problem(stranger.http.post("/v1/jobs", json=training(model_id)))["code"] == "not_found"


def test_both_know_of_each_other_and_the_first_stays_as_long_as_the_second(account: Account) -> None:
    first = account.registry.train()
    second = account.registry.train(initial=report(first))
    model = account.http.get(f"/v1/models/{second}").json()
    assert model["initial_model_id"] == first
    job = account.http.get(f"/v1/jobs/{model['job_id']}").json()
    assert job["result"]["initial"] == report(first).model_dump()
    up, down = (account.http.get(f"/v1/models/{m}/lineage").json() for m in (second, first))
    assert (up["model"]["initial_model_id"], up["models"]["total"]) == (first, 0)
    assert (down["model"]["initial_model_id"], down["models"]) == (None, {"total": 1, "ids": [second]})
    headers = {"Accept": "text/markdown"}
    cards = [account.http.get(f"/v1/models/{m}/card", headers=headers).text for m in (second, first)]
    assert "training began with the weights of" in cards[0]
    assert "used by 1 model" in cards[1]

    refused = problem(account.http.delete(f"/v1/models/{first}"))
    assert (refused["status"], refused["code"], second in refused["detail"]) == (409, "in_use", True)
    for model_id in (second, first):
        assert account.http.delete(f"/v1/models/{model_id}").status_code == 204


def test_a_training_that_has_not_ended_needs_it(account: Account) -> None:
    model_id = account.registry.train()
    job = account.http.post("/v1/jobs", json=training(model_id)).json()
    refused = problem(account.http.delete(f"/v1/models/{model_id}"))
    assert (refused["code"], job["id"] in refused["detail"]) == ("in_use", True)
