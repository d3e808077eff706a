"""Tenants are walls."""

from typing import Any

from sqlalchemy import text

from service.models.tables import Model
from tests.fixtures.client import Account, Api
from tests.fixtures.problems import problem
from tests.fixtures.uploads import announce


class TestTenants:
    def test_every_operation_is_blind_to_another_tenants_ids(
        self, account: Account, stranger: Account
    ) -> None:
        """Fails when a new route takes an id of a kind that this test does not know."""
        ids = everything(account)
        document = account.http.get("/openapi.json").json()
        checked = 0
        for path, operations in document["paths"].items():
            names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
            if not names:
                continue
            assert set(names) <= set(ids), f"{path}: give this test an id for it"
            if path == "/v1/artifacts/{artifact_id}/signed":
                continue  # asks for a signature instead of a key: tests/service/artifacts/test_signing.py
            url = path.format(**ids)
            for method, operation in operations.items():
                body = example_body(document, operation)
                answer = stranger.http.request(method, url, json=body, timeout=10)
                assert answer.status_code == 404, f"{method} {path}: {answer.status_code}"
                checked += 1
            if "get" in operations and "stream" not in path:
                assert account.http.get(url).status_code in (200, 204)
        assert checked >= 15

    def test_lists_are_empty_for_a_stranger(self, account: Account, stranger: Account) -> None:
        everything(account)
        for path in ("models", "modules", "compositions", "jobs", "classes?name=cat"):
            assert account.http.get(f"/v1/{path}").json()["data"], path
            assert stranger.http.get(f"/v1/{path}").json()["data"] == [], path
        assert stranger.http.get("/v1/datasets/digits").json()["versions"] == []

    def test_no_kind_of_job_takes_another_tenants_ids(self, account: Account, stranger: Account) -> None:
        ids = everything(account)
        train = {"kind": "train", "architecture": "small_cnn", "dataset": "digits"}
        bodies = [
            {**train, "teacher_model_id": ids["model_id"]},
            {**train, "dataset": ids["dataset_id"]},
            {"kind": "extract", "model_id": ids["model_id"]},
            {"kind": "compose", "classes": ["cat"], "model_id": ids["model_id"]},
            {"kind": "compose", "module_ids": [ids["module_id"]]},
            *({"kind": "evaluate", "target_id": ids[k]} for k in ("model_id", "module_id", "composition_id")),
        ]
        for body in bodies:
            assert problem(stranger.http.post("/v1/jobs", json=body))["status"] == 404
        assert stranger.http.get("/v1/jobs").json()["data"] == []

    def test_rows_of_another_tenant_are_hidden_below_the_endpoints_too(
        self, api: Api, account: Account, stranger: Account
    ) -> None:
        ids = everything(account)
        with api.database.read(stranger.tenant_id) as session:
            assert session.get(Model, ids["model_id"]) is None
            assert session.query(Model).count() == 0
        with api.database.read(account.tenant_id) as session:
            assert session.get(Model, ids["model_id"]) is not None
        with api.database.read() as session:
            known = session.execute(text("SELECT count(*) FROM models")).scalar()
        assert known


def example_body(document: dict[str, Any], operation: dict[str, Any]) -> Any:
    """The example of the JSON that an operation takes; None where it takes none."""
    media = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if media is None:
        return None
    name = media["schema"].get("$ref", "").rpartition("/")[2]
    (first, *_) = document["components"]["schemas"].get(name, {}).get("examples", [{}])
    return first


def everything(account: Account) -> dict[str, str]:
    """One of each thing, by the name its id has in paths."""
    model_id = account.registry.train()
    (module_id,) = account.registry.extract(model_id, {"cat": 0.9})
    webhook = account.http.post("/v1/webhooks", json={"url": "https://example.com/"}).json()
    delivery = account.http.post(f"/v1/webhooks/{webhook['id']}/test").json()
    composition = account.registry.compose({"classes": ["cat"]})
    dataset_id = account.http.post("/v1/datasets", json={"name": "own"}).json()["id"]
    upload = announce(account.http, dataset_id, b"x", 1024)
    return {
        "model_id": model_id,
        "module_id": module_id,
        "composition_id": composition["composition_id"],
        "artifact_id": composition["artifact_ids"][0],
        "webhook_id": webhook["id"],
        "delivery_id": delivery["id"],
        "dataset_id": dataset_id,
        "upload_id": upload["id"],
        "number": "1",
        "job_id": account.http.get("/v1/jobs").json()["data"][0]["id"],
    }
