"""Training jobs that name a teacher: what is accepted, what is refused, and which files the runner gets."""

from typing import Any

import pytest

from core.specs import parse_job_spec
from service.inputs import job_inputs
from service.platform.storage import open_store
from tests.fixtures.client import Account, Api
from tests.fixtures.problems import problem

DIGITS = [str(digit) for digit in range(10)]


def training(**values: Any) -> dict[str, Any]:
    return {"kind": "train", "architecture": "small_cnn", "dataset": "digits", **values}


def test_a_model_of_the_same_classes_may_teach_and_its_files_are_staged(api: Api, account: Account) -> None:
    teacher = account.registry.train(classes=DIGITS)
    body = training(teacher_model_id=teacher, distillation_weight=0.25)
    answer = account.http.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    spec = answer.json()["spec"]
    assert (spec["teacher_model_id"], spec["distillation_weight"]) == (teacher, 0.25)
    with api.database.read(account.tenant_id) as session:
        files = job_inputs(session, open_store(api.settings), parse_job_spec(spec))
        none = job_inputs(session, open_store(api.settings), parse_job_spec(training()))
    artifacts = account.http.get(f"/v1/models/{teacher}").json()["artifacts"]
    expected = {a["role"]: account.http.get(f"/v1/artifacts/{a['id']}/content").content for a in artifacts}
    assert {role: path.read_bytes() for role, path in files.items()} == {
        "weights": expected["weights"], "recipe": expected["recipe"],
    }  # fmt: skip
    assert none == {}


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"classes": DIGITS[::-1]}, "classes"),
        ({"classes": DIGITS[:9]}, "classes"),
        ({"classes": DIGITS, "dataset": "mnist"}, "trained on mnist"),
    ],
)
def test_a_model_of_other_classes_or_data_may_not(
    account: Account, model: dict[str, Any], words: str
) -> None:
    teacher = account.registry.train(**model)
    before = account.http.get("/v1/jobs").json()["data"]
    refusal = problem(account.http.post("/v1/jobs", json=training(teacher_model_id=teacher)))
    assert (refusal["status"], refusal["code"]) == (422, "teacher_mismatch")
    assert words in refusal["detail"]
    assert account.http.get("/v1/jobs").json()["data"] == before


def test_only_ones_own_models_are_there(account: Account, stranger: Account) -> None:
    body = training(teacher_model_id=account.registry.train(classes=DIGITS))
    assert problem(stranger.http.post("/v1/jobs", json=body))["code"] == "not_found"
    assert stranger.http.get("/v1/jobs").json()["data"] == []
    unknown = account.http.post("/v1/jobs", json=training(teacher_model_id="mdl_nobody"))
    assert problem(unknown)["code"] == "not_found"


def test_a_weight_without_a_teacher_says_what_is_missing(account: Account) -> None:
    refusal = problem(account.http.post("/v1/jobs", json=training(distillation_weight=0.25)))
    assert refusal["status"] == 422
    assert "distillation_weight needs a teacher_model_id" in refusal["detail"]
