"""Reading modules, and finding them by class."""

import pytest

from tests.fixtures.client import Account


@pytest.fixture
def model_id(account: Account) -> str:
    return account.registry.train()


def test_a_module_with_its_figures_and_files(account: Account, model_id: str) -> None:
    (module_id,) = account.registry.extract(model_id, {"dog+cat": 0.9})
    module = account.http.get(f"/v1/modules/{module_id}").json()
    assert (module["model_id"], module["classes"]) == (model_id, ["dog", "cat"])
    assert (module["form"], module["threshold"], module["notes"]) == ("gated", 0.9, ["a note"])
    assert [(m["name"], m["value"]) for m in module["metrics"]] == [("accuracy", 0.9)]
    assert {a["role"] for a in module["artifacts"]} == {"weights", "recipe", "program"}
    job = account.http.get(f"/v1/jobs/{module['job_id']}").json()
    assert job["result"]["module_ids"] == [module_id]
    assert [m["name"] for m in job["result"]["metrics"]] == ["cohesion"]


def test_filters(account: Account, model_id: str) -> None:
    cat, dog = account.registry.extract(model_id, {"cat": 0.9, "dog": 0.9})
    (static,) = account.registry.extract(model_id, {"cat": 0.9}, form="static")
    (other,) = account.registry.extract(account.registry.train(), {"cat": 0.9})

    def ids(query: str) -> list[str]:
        return [m["id"] for m in account.http.get(f"/v1/modules?{query}").json()["data"]]

    assert ids("") == [other, static, dog, cat]
    assert ids(f"model_id={model_id}&class=cat") == [static, cat]
    assert ids("form=static") == [static]
    assert ids("class=unicorn") == []
    assert account.http.get("/v1/modules?form=round").status_code == 422
    of_model = account.http.get(f"/v1/models/{model_id}/modules").json()["data"]
    assert [m["id"] for m in of_model] == [static, dog, cat]


def test_modules_that_know_a_class_best_first(account: Account, model_id: str) -> None:
    low, unmeasured = account.registry.extract(model_id, {"cat": 0.2, "cat+dog": None})
    (high,) = account.registry.extract(account.registry.train(), {"dog+cat": 0.9})
    (middle,) = account.registry.extract(model_id, {"cat": 0.5})

    first = account.http.get("/v1/classes?name=cat&limit=3").json()
    rest = account.http.get(f"/v1/classes?name=cat&after={first['next_cursor']}").json()

    found = first["data"] + rest["data"]
    assert [m["module_id"] for m in found] == [high, middle, low, unmeasured]
    assert [m["validation_score"] for m in found] == [0.9, 0.5, 0.2, None]
    assert found[0]["module"]["classes"] == ["dog", "cat"]
    assert account.http.get("/v1/classes?name=unicorn").json()["data"] == []


def test_a_test_score_does_not_rank(account: Account, model_id: str) -> None:
    low, high = account.registry.extract(model_id, {"cat+truck": 0.2, "cat+dog": 0.3})
    account.registry.evaluate(low, 0.99)
    found = account.http.get("/v1/classes?name=cat").json()["data"]
    assert [m["module_id"] for m in found] == [high, low]
