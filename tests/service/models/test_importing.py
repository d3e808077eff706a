"""POST /v1/models: a model of uploaded weights, from the upload to its lineage, and what is refused."""

from typing import Any

import pytest

from core.catalog import DATASETS
from core.results import ImportModelResult, WeightsReport
from core.specs import parse_job_spec
from service.inputs import job_inputs
from service.jobs import service as jobs
from service.platform.storage import open_store
from tests.fixtures.client import Account, Api, any_database
from tests.fixtures.problems import problem
from tests.fixtures.uploads import announce, uploaded

CONTENT = b"weights of a stranger" * 100
PETS = {
    "architecture": "small_cnn", "class_names": ["cat", "dog"], "input_shape": [3, 32, 32],
    "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.2],
}  # fmt: skip


def asked(account: Account, **values: Any) -> dict[str, Any]:
    """The job of an import that is accepted."""
    upload_id = values.pop("upload_id", None) or uploaded(account.http, CONTENT, 1024)
    answer = account.http.post("/v1/models", json={"upload_id": upload_id, **values})
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    assert answer.headers["Location"] == f"/v1/jobs/{job['id']}"
    return job


def finish(account: Account, job: dict[str, Any], dataset_digest: str | None = None) -> str:
    """The import succeeds, as a worker would report it; the model's id."""
    spec = job["spec"]
    result = ImportModelResult(
        architecture=spec["architecture"], dataset=spec["dataset"], dataset_digest=dataset_digest,
        classes=spec["class_names"], input_shape=spec["input_shape"], parameters=1000, flops=5000,
        units={"blocks.0.conv": 32}, versions={"torch": "2"},
        report=WeightsReport(tensors=3, dtypes={"F32": 3}, stripped_prefix="", notes=["a note"]),
        files=account.registry.files("weights", "recipe", "program"),
    )  # fmt: skip
    with account.registry.database.read() as session:
        row = jobs.get(session, job["id"])
    public = account.registry.finish(row, result)
    assert public["report"]["notes"] == ["a note"]
    return str(public["model_id"])


class TestModels:
    def test_an_imported_model_is_a_model(self, account: Account) -> None:
        labels = {"name": "pets", "tags": ["old"], "metadata": {"team": "vision"}}
        job = asked(account, **PETS, **labels)
        assert (job["kind"], job["state"], job["metadata"]) == ("import_model", "queued", {"team": "vision"})
        assert account.http.get("/v1/models").json()["data"] == []
        model_id = finish(account, job)
        model = account.http.get(f"/v1/models/{model_id}").json()
        expected = {
            "origin": "imported", "approach": "standard", "seed": None, "dataset": None, "dataset_id": None,
            "dataset_digest": None, "classes": ["cat", "dog"], "input_shape": [3, 32, 32],
            "version": 1, **labels,
        }  # fmt: skip
        assert {name: model[name] for name in expected} == expected
        assert [a["role"] for a in model["artifacts"]] == ["program", "recipe", "weights"]
        assert account.http.get("/v1/models/pets@latest").json()["id"] == model_id
        assert [m["id"] for m in account.http.get("/v1/models?class=dog").json()["data"]] == [model_id]
        lineage = account.http.get(f"/v1/models/{model_id}/lineage").json()
        assert lineage["made_by"]["kind"] == "import_model"
        assert lineage["model"]["source_sha256"] == job["spec"]["sha256"]
        card = account.http.get(f"/v1/models/{model_id}/card").json()
        assert "trained elsewhere" in card["summary"]
        assert "None" not in f"{card['title']}{card['summary']}{card['intended_use']}{card['limits']}"
        manifest = account.http.get(f"/v1/models/{model_id}/manifest").json()
        assert (manifest["dataset"], manifest["seed"]) == (None, None)
        again = account.http.get(f"/v1/models/compare?ids={model_id},{model_id}")
        assert again.status_code == 200
        assert account.http.delete(f"/v1/models/{model_id}").status_code == 204

    @pytest.mark.parametrize(
        "cut", [{"kind": "extract", "evaluate": False}, {"kind": "sweep", "thresholds": [0.5]}]
    )
    @pytest.mark.parametrize("described", [PETS, {"architecture": "small_cnn", "dataset": "digits"}])
    def test_without_statistics_nothing_says_what_to_cut(
        self, account: Account, described: dict[str, Any], cut: dict[str, Any]
    ) -> None:
        model_id = finish(account, asked(account, **described), "e" * 64)
        answer = account.http.post("/v1/jobs", json={"model_id": model_id, **cut})
        assert problem(answer)["code"] == "dataset_needed"
        assert answer.status_code == 422

    def test_what_is_not_said_is_the_dataset_s(self, account: Account) -> None:
        digits = DATASETS["digits"]
        job = asked(account, architecture="small_cnn", dataset="digits")
        known = {name: list(getattr(digits, name)) for name in ("class_names", "input_shape", "mean", "std")}
        assert {name: job["spec"][name] for name in known} == known
        model = account.http.get(f"/v1/models/{finish(account, job, 'e' * 64)}").json()
        assert (model["dataset"], model["dataset_digest"]) == ("digits", "e" * 64)
        assert [m["id"] for m in account.http.get("/v1/models?dataset=digits").json()["data"]] == [
            model["id"]
        ]
        own = asked(
            account, architecture="small_cnn", dataset="digits", class_names=["3", "1"], mean=[0.0], std=[1.0]
        )
        assert (own["spec"]["class_names"], own["spec"]["mean"]) == (["3", "1"], [0.0])

    def test_the_runner_gets_the_parts_in_their_order(self, api: Api, account: Account) -> None:
        spec = asked(account, **PETS)["spec"]
        with api.database.read(account.tenant_id) as session:
            files = job_inputs(session, open_store(api.settings), parse_job_spec(spec))
        parts = [files[f"part:{number}"].read_bytes() for number in range(1, len(files) + 1)]
        assert b"".join(parts) == CONTENT

    def test_a_repeated_key_imports_once(self, account: Account) -> None:
        body = {"upload_id": uploaded(account.http, CONTENT), **PETS}
        first, second = (
            account.http.post("/v1/models", json=body, headers={"Idempotency-Key": "once"}) for _ in range(2)
        )
        assert first.json() == second.json()
        assert second.headers["Idempotency-Replayed"] == "true"
        assert len(account.http.get("/v1/jobs").json()["data"]) == 1


class TestAgain:
    def test_after_a_failure_the_same_upload_is_read_again(self, account: Account) -> None:
        """With other words, or as it was: nothing is sent again."""
        upload_id = uploaded(account.http, CONTENT)
        first = asked(account, upload_id=upload_id, **PETS)
        refusal = problem(account.http.post("/v1/models", json={"upload_id": upload_id, **PETS}))
        assert (refusal["status"], refusal["code"]) == (409, "upload_in_use")
        assert first["id"] in refusal["detail"]
        account.http.post(f"/v1/jobs/{first['id']}/cancel")
        second = asked(account, upload_id=upload_id, **{**PETS, "architecture": "resnet18"})
        assert second["id"] != first["id"]
        account.http.post(f"/v1/jobs/{second['id']}/cancel")
        third = account.http.post(f"/v1/jobs/{second['id']}/retry")
        assert (third.status_code, third.json()["spec"]) == (202, second["spec"])

    def test_parts_stay_as_they_were_read(self, account: Account) -> None:
        upload_id = uploaded(account.http, CONTENT)
        asked(account, upload_id=upload_id, **PETS)
        answer = account.http.put(f"/v1/uploads/{upload_id}/parts/1", content=CONTENT)
        assert problem(answer)["code"] == "upload_completed"


class TestRefusals:
    @any_database
    @pytest.mark.parametrize(
        ("change", "pointer"),
        [
            ({"architecture": "resnet19"}, "/architecture"),
            ({"architecture": "simcnn", "input_shape": [3, 64, 64]}, "/architecture"),
            ({"input_shape": [2, 32, 32]}, "/input_shape/0"),
            ({"input_shape": [3, 32]}, "/input_shape"),
            ({"input_shape": [3, 32, 100_000]}, "/input_shape/2"),
            ({"mean": [0.5]}, "/mean"),
            ({"mean": None}, ""),
            ({"std": [0.2, 0.2, 0.0]}, "/std/2"),
            ({"class_names": ["cat", "cat"]}, "/class_names"),
            ({"class_names": ["cat"]}, "/class_names"),
            ({"class_names": None}, ""),
            ({"input_shape": None}, ""),
            ({"name": "a name"}, "/name"),
            ({"metadata": {"a=b": "c"}}, "/metadata/a=b"),
            ({"path": "/etc/passwd"}, "/path"),
            ({"dataset": "digits"}, "/input_shape"),
            ({"dataset": "digits", "input_shape": [1, 8, 8], "mean": [0.5], "std": [0.5]}, "/class_names"),
            ({"dataset": "digits", "class_names": None, "input_shape": None, "std": None}, ""),
            ({"dataset": "letters"}, "/dataset"),
        ],
    )
    def test_what_makes_no_sense(self, account: Account, change: dict[str, Any], pointer: str) -> None:
        upload_id = uploaded(account.http, CONTENT)
        body = {name: value for name, value in {**PETS, **change}.items() if value is not None}
        refusal = problem(account.http.post("/v1/models", json={"upload_id": upload_id, **body}))
        assert refusal["status"] == 422
        assert refusal["errors"][0]["pointer"].startswith(pointer), refusal
        assert account.http.get("/v1/jobs").json()["data"] == []

    def test_an_upload_that_is_not_whole(self, account: Account) -> None:
        upload_id = announce(account.http, None, CONTENT, 1024)["id"]
        answer = account.http.post("/v1/models", json={"upload_id": upload_id, **PETS})
        assert problem(answer)["code"] == "upload_incomplete"

    def test_an_upload_for_a_dataset_is_none_for_a_model(self, account: Account) -> None:
        dataset_id = account.http.post("/v1/datasets", json={"name": "mine"}).json()["id"]
        upload_id = announce(account.http, dataset_id, CONTENT, 1024)["id"]
        answer = account.http.post("/v1/models", json={"upload_id": upload_id, **PETS})
        assert problem(answer)["code"] == "not_found"

    def test_no_caller_makes_an_import_by_hand(self, account: Account) -> None:
        spec = asked(account, **PETS)["spec"]
        assert problem(account.http.post("/v1/jobs", json=spec))["code"] == "unknown_kind"

    def test_without_a_dataset_nothing_can_be_measured(self, account: Account) -> None:
        model_id = finish(account, asked(account, **PETS))
        for body in (
            {"kind": "evaluate", "target_id": model_id},
            {"kind": "extract", "model_id": model_id},
        ):
            assert problem(account.http.post("/v1/jobs", json=body))["code"] == "dataset_needed"
        train = {"kind": "train", "architecture": "small_cnn", "dataset": "digits"}
        answer = account.http.post("/v1/jobs", json={**train, "teacher_model_id": model_id})
        assert problem(answer)["code"] == "teacher_mismatch"


def test_uploads_have_paths_of_their_own(account: Account, stranger: Account) -> None:
    body = announce(account.http, None, CONTENT, 1024)
    path = f"/v1/uploads/{body['id']}"
    assert (body["owner_id"], body["missing"]) == (body["id"], [1, 2, 3])
    assert account.http.put(f"{path}/parts/2", content=CONTENT[1024:2048]).status_code == 204
    assert account.http.get(path).json()["missing"] == [1, 3]
    assert stranger.http.get(path).status_code == 404
    assert stranger.http.put(f"{path}/parts/1", content=CONTENT[:1024]).status_code == 404
