"""Measuring on a dataset that the job names: what is refused, and where the figures are found afterwards."""

from typing import Any

from core.results import ImportModelResult, WeightsReport
from core.specs import parse_job_spec
from service.client import CleaveClient
from service.inputs import job_inputs
from service.jobs import service as jobs
from service.platform.storage import open_store
from tests.fixtures.client import Account, Api
from tests.fixtures.problems import problem
from tests.fixtures.uploads import upload, uploaded
from tests.service.datasets.test_uploads import finish as finish_dataset

DIGITS = [str(digit) for digit in range(10)]


def imported(account: Account, names: list[str], **values: Any) -> str:
    """A model of no dataset, of 8 x 8 pixels."""
    body = {
        "upload_id": uploaded(account.http, b"weights"), "architecture": "small_cnn", "class_names": names,
        "input_shape": [1, 8, 8], "mean": [0.5], "std": [0.5], **values,
    }  # fmt: skip
    job = account.http.post("/v1/models", json=body).json()
    result = ImportModelResult(
        architecture="small_cnn", dataset=None, dataset_digest=None, classes=names,
        input_shape=body["input_shape"], parameters=1, flops=1, units={"blocks.0.conv": 32}, versions={},
        report=WeightsReport(tensors=1, dtypes={}, stripped_prefix="", notes=[]),
        files=account.registry.files("weights", "recipe"),
    )  # fmt: skip
    with account.registry.database.read() as session:
        row = jobs.get(session, job["id"])
    return str(account.registry.finish(row, result)["model_id"])


def figures(account: Account, model_id: str) -> list[tuple[float, str | None]]:
    """Test accuracies with what they were measured on."""
    metrics = account.http.get(f"/v1/models/{model_id}").json()["metrics"]
    return [(m["value"], m["dataset"]) for m in metrics if (m["name"], m["split"]) == ("accuracy", "test")]


def found(account: Account, floor: float) -> list[str]:
    models = account.http.get(f"/v1/models?min_accuracy={floor}&split=test").json()["data"]
    return [model["id"] for model in models]


def test_by_the_client(api: Api, account: Account) -> None:
    model_id = imported(account, DIGITS)
    with CleaveClient(api.url, account.key) as client:
        job = client.models.evaluate(model_id, dataset="digits", split="test", classes=["1", "2"])
        asked = {"target_id": model_id, "dataset": "digits", "split": "test", "classes": ["1", "2"]}
        assert {name: job.spec[name] for name in asked} == asked
        account.registry.evaluate(model_id, 0.75, dataset="digits")
        model = client.models.get(model_id)
        told = [model.metric("accuracy", "test", dataset=dataset) for dataset in ("digits", None, "mnist")]
        assert told == [0.75, 0.75, None]
        trained = account.registry.train(classes=DIGITS, dataset="mnist")
        account.registry.evaluate(trained, 0.99, dataset="digits")
        assert client.models.get(trained).metric("accuracy", "test") == 0.9


class TestFigures:
    def test_of_a_model_that_is_of_no_dataset_it_is_found_by_them(self, account: Account) -> None:
        model_id = imported(account, DIGITS)
        result = account.registry.evaluate(model_id, 0.75, dataset="digits")
        assert (result["dataset"], result["dataset_digest"]) == ("digits", "d" * 64)
        assert figures(account, model_id) == [(0.75, "digits")]
        assert (found(account, 0.7), found(account, 0.8)) == ([model_id], [])
        card = account.http.get(f"/v1/models/{model_id}/card", headers={"Accept": "text/markdown"}).text
        assert "digits, test" in card.replace("\\", "")
        assert "images like those of digits" in card

    def test_on_other_data_they_stand_beside_those_on_its_own(self, account: Account) -> None:
        """By figures on easier data it must not be found before its like."""
        model_id = account.registry.train(classes=DIGITS, dataset="mnist")
        account.registry.evaluate(model_id, 0.99, dataset="digits")
        assert figures(account, model_id) == [(0.9, None), (0.99, "digits")]
        assert found(account, 0.95) == []
        rows = account.http.get(f"/v1/models/compare?ids={model_id},{model_id}").json()["rows"]
        told = [(row["dataset"], row["values"]) for row in rows if row["name"] == "accuracy"]
        assert told == [(None, [0.9, 0.9]), ("digits", [0.99, 0.99])]

    def test_its_own_dataset_named_is_its_own(self, account: Account) -> None:
        model_id = account.registry.train(classes=DIGITS)
        account.registry.evaluate(model_id, 0.99, dataset="digits")
        assert figures(account, model_id) == [(0.99, None)]
        assert found(account, 0.95) == [model_id]


REFUSED: list[tuple[dict[str, Any], dict[str, Any], str, str]] = [
    ({"names": ["cat", "dog"]}, {}, "dataset_mismatch", "none of the classes cat, dog"),
    ({"input_shape": [1, 9, 8]}, {}, "dataset_mismatch", "[1, 8, 8], those of the model [1, 9, 8]"),
    ({"names": ["1", "cat"]}, {"classes": ["1", "cat"]}, "class_not_in_dataset", "'cat'"),
    ({}, {"classes": ["cat"]}, "class_not_in_model", "known are"),
    ({}, {"dataset": "mnist"}, "data_root_missing", "mnist"),
    ({}, {"dataset": "ds_0"}, "not_found", "dataset"),
    ({}, {"dataset": None}, "dataset_needed", "name one"),
]


def test_what_cannot_be_measured_is_refused(account: Account) -> None:
    for model, asked, code, words in REFUSED:
        model_id = imported(account, **{"names": DIGITS, **model})
        body = {"kind": "evaluate", "target_id": model_id, "dataset": "digits", **asked}
        refusal = problem(account.http.post("/v1/jobs", json=body))
        assert (refusal["code"], words in refusal["detail"]) == (code, True), refusal


def test_what_overlaps_is_measured(account: Account) -> None:
    body = {"kind": "evaluate", "target_id": imported(account, ["1", "cat"]), "dataset": "digits"}
    assert account.http.post("/v1/jobs", json=body).status_code == 202


def test_the_runner_gets_the_files_of_the_named_dataset(api: Api, account: Account) -> None:
    """And reads no other: the model's recipe names none."""
    job = upload(account.http, b"images")
    finish_dataset(account, job)
    model_id, dataset_id = imported(account, DIGITS), job["spec"]["dataset_id"]
    result = account.registry.evaluate(model_id, 0.5, dataset=dataset_id)
    assert figures(account, model_id) == [(0.5, dataset_id)]
    spec = parse_job_spec({"kind": "evaluate", "target_id": result["target_id"], "dataset": dataset_id})
    with api.database.read(account.tenant_id) as session:
        files = job_inputs(session, open_store(api.settings), spec)
    assert sorted(files) == ["data:dataset", "data:images", "data:labels", "recipe", "weights"]
