"""Uploads over HTTP: parts in any order and again, digests, limits, and what is left of them."""

import errno
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from core.catalog import DATASETS, DatasetInfo
from core.results import ImportReport, ImportResult
from service.jobs import service as jobs
from service.jobs.tables import Job
from service.platform import local_store
from service.platform.clock import db_now
from service.platform.storage import open_store
from service.upkeep import Upkeep
from service.uploads.tables import Upload, UploadPart
from tests.fixtures.client import Account, Api
from tests.fixtures.jobs import claimed
from tests.fixtures.problems import problem
from tests.fixtures.uploads import announce, content_digest, part, upload

SIZE = 1024
CONTENT = bytes(range(256)) * 10  # three parts, the last one shorter


def opened(account: Account, content: bytes = CONTENT) -> str:
    """The path of a new upload."""
    dataset_id = account.http.post("/v1/datasets", json={"name": "mine"}).json()["id"]
    made = announce(account.http, dataset_id, content, SIZE)
    return f"/v1/datasets/{dataset_id}/uploads/{made['id']}"


def finish(account: Account, job: dict[str, Any]) -> None:
    """The import succeeds, as a worker would report it."""
    with account.registry.database.read() as session:
        row = jobs.get(session, job["id"])
    report = ImportReport(
        format="npz", samples=10, per_class={}, sizes={}, pixels={}, splits="seeded", balance=1.0,
        duplicates=0, duplicates_across_splits=0, corrupt=0, corrupt_files=[], ignored=0, warnings=["small"],
    )  # fmt: skip
    info = DatasetInfo.model_validate({**DATASETS["digits"].model_dump(), "name": "mine"})
    result = ImportResult(
        dataset_id=job["spec"]["dataset_id"], digest="e" * 64, info=info, report=report,
        files=account.registry.files("images", "labels", "dataset"),
    )  # fmt: skip
    account.registry.finish(row, result)


def send(account: Account, path: str, number: int, content: bytes = CONTENT) -> Any:
    piece = part(content, number, SIZE)
    return account.http.put(f"{path}/parts/{number}", content=piece, headers=content_digest(piece))


class TestParts:
    def test_any_order_and_again(self, account: Account) -> None:
        path = opened(account)
        first = account.http.get(path).json()
        assert (first["part_count"], first["missing"], first["parts"]) == (3, [1, 2, 3], [])
        for number in (3, 1, 3):
            answer = send(account, path, number)
            assert (answer.status_code, answer.content) == (204, b"")
            assert answer.headers["ETag"] == f'"{hashlib.sha256(part(CONTENT, number, SIZE)).hexdigest()}"'
        assert problem(account.http.post(f"{path}/complete"))["code"] == "upload_incomplete"
        found = account.http.get(path).json()
        assert [(p["number"], p["size"]) for p in found["parts"]] == [(1, SIZE), (3, 512)]
        assert (found["missing"], found["expires_at"] >= first["expires_at"]) == ([2], True)

    @pytest.mark.parametrize("change", [b"", b"x"])
    def test_other_sizes_are_refused(self, account: Account, change: bytes) -> None:
        path = opened(account)
        for content in (CONTENT[: SIZE - 1], iter([CONTENT[: SIZE - 1] + change * 2])):
            answer = account.http.put(f"{path}/parts/1", content=content)
            assert (answer.status_code, problem(answer)["code"]) == (422, "part_size_wrong")
        assert account.http.get(path).json()["parts"] == []

    def test_damaged_bytes_are_refused(self, api: Api, account: Account) -> None:
        path = opened(account)
        damaged = bytes([CONTENT[0] ^ 1]) + CONTENT[1:SIZE]
        for header in (
            content_digest(CONTENT[:SIZE])["Content-Digest"],
            "md5=:AAAA:",
            "sha-256=:AA:",
            "sha-256=::",
        ):
            answer = account.http.put(f"{path}/parts/1", content=damaged, headers={"Content-Digest": header})
            assert (answer.status_code, problem(answer)["code"]) == (422, "content_digest_mismatch")
        assert account.http.get(path).json()["parts"] == []
        assert list(api.settings.upload_root.iterdir()) == []

    def test_parts_that_do_not_exist(self, account: Account) -> None:
        path = opened(account)
        assert problem(account.http.put(f"{path}/parts/4", content=b"x"))["code"] == "not_found"
        for number in ("0", "10001", "x", "-1"):
            assert account.http.put(f"{path}/parts/{number}", content=b"x").status_code == 422

    def test_no_room(self, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
        path = opened(account)

        def full(_: Path, __: int) -> None:
            raise OSError(errno.ENOSPC, "no room")

        monkeypatch.setattr(local_store, "check_free", full)
        answer = send(account, path, 1)
        assert (answer.status_code, problem(answer)["code"]) == (507, "storage_full")

    def test_limits_of_an_upload(self, api: Api, account: Account) -> None:
        dataset_id = account.http.post("/v1/datasets", json={"name": "mine"}).json()["id"]
        body = {"filename": "a.zip", "size": (api.settings.max_upload_mib << 20) + 1, "sha256": "a" * 64}
        answer = account.http.post(f"/v1/datasets/{dataset_id}/uploads", json=body)
        assert (answer.status_code, problem(answer)["code"]) == (413, "upload_too_large")
        body |= {"size": 10_001 * 1024, "part_size": 1024}
        answer = account.http.post(f"/v1/datasets/{dataset_id}/uploads", json=body)
        assert (answer.status_code, problem(answer)["code"]) == (422, "invalid_request")


class TestDatasets:
    def test_from_empty_to_ready_to_deleted(self, account: Account) -> None:
        job = upload(account.http, CONTENT, SIZE, image_size=32)
        path = f"/v1/datasets/{job['spec']['dataset_id']}"
        assert (job["kind"], job["state"], job["spec"]["options"]["image_size"]) == ("import", "queued", 32)
        importing = account.http.get(path).json()
        assert (importing["state"], importing["job_id"], importing["available"]) == (
            "importing",
            job["id"],
            False,
        )
        train = {"kind": "train", "architecture": "small_cnn", "dataset": importing["id"]}
        assert problem(account.http.post("/v1/jobs", json=train))["code"] == "dataset_not_ready"
        assert problem(account.http.delete(path))["code"] == "dataset_importing"
        finish(account, job)
        ready = account.http.get(path).json()
        assert (ready["state"], ready["digest"], ready["train"]) == ("ready", "e" * 64, 1257)
        assert ready["report"]["warnings"] == ["small"]
        listed = account.http.get("/v1/datasets").json()["data"]
        assert [d["name"] for d in listed] == [*DATASETS, "pictures"]
        training = account.http.post("/v1/jobs", json=train).json()
        assert problem(account.http.delete(path))["code"] == "in_use"
        assert account.http.post(f"/v1/jobs/{training['id']}/cancel").status_code == 202
        large = {**train, "architecture": "resnet18"}
        assert problem(account.http.post("/v1/jobs", json=large))["errors"][0]["pointer"] == "/architecture"
        again = account.http.post(f"{path}/uploads", json={"filename": "a", "size": 1, "sha256": "a" * 64})
        assert problem(again)["code"] == "dataset_filled"
        assert account.http.delete(path).status_code == 204
        assert account.http.get(path).status_code == 404
        assert account.http.post("/v1/jobs", json=train).status_code == 404
        assert account.http.delete("/v1/datasets/digits").status_code == 404

    def test_after_a_failure_it_is_completed_again(self, account: Account) -> None:
        job = upload(account.http, CONTENT, SIZE)
        path = f"/v1/datasets/{job['spec']['dataset_id']}/uploads/{job['spec']['upload_id']}"
        assert account.http.post(f"{path}/complete").json()["id"] == job["id"]
        assert problem(send(account, path, 1))["code"] == "upload_completed"
        assert account.http.post(f"/v1/jobs/{job['id']}/cancel").status_code == 202
        assert account.http.get(f"/v1/datasets/{job['spec']['dataset_id']}").json()["state"] == "failed"
        second = account.http.post(f"{path}/complete").json()
        assert (second["id"] != job["id"], second["state"]) == (True, "queued")
        account.http.post(f"/v1/jobs/{second['id']}/cancel")
        third = account.http.post(f"/v1/jobs/{second['id']}/retry").json()
        assert account.http.get(f"/v1/datasets/{job['spec']['dataset_id']}").json()["job_id"] == third["id"]

    def test_a_repeated_key_makes_one(self, account: Account) -> None:
        key = {"Idempotency-Key": "once"}
        first, second = (account.http.post("/v1/datasets", json={"name": "a"}, headers=key) for _ in range(2))
        assert first.json() == second.json()
        assert (first.status_code, second.headers["Idempotency-Replayed"]) == (201, "true")
        assert "Idempotency-Replayed" not in first.headers
        assert problem(account.http.post("/v1/datasets", json={"name": "b"}, headers=key))["status"] == 422

    def test_pages(self, account: Account) -> None:
        for number in range(3):
            account.http.post("/v1/datasets", json={"name": f"n{number}"})
        page = account.http.get("/v1/datasets?limit=2").json()
        assert [d["name"] for d in page["data"]] == [*DATASETS, "n2", "n1"]
        rest = account.http.get("/v1/datasets", params={"limit": 2, "after": page["next_cursor"]}).json()
        assert ([d["name"] for d in rest["data"]], rest["has_more"]) == (["n0"], False)

    @pytest.mark.parametrize(
        "body",
        [
            {"name": ""}, {"name": " "}, {"name": "a\nb"}, {"name": "a", "image_size": 4096},
            {"name": "a", "validation_fraction": 0.6, "test_fraction": 0.5},
            {"name": "a", "format": "tfrecord"},
            {"name": "a", "class_names": ["x", "x"]}, {"name": "a", "path": "/etc"},
        ],
    )  # fmt: skip
    def test_options_that_make_no_sense(self, account: Account, body: dict[str, Any]) -> None:
        assert account.http.post("/v1/datasets", json=body).status_code == 422

    def test_no_caller_makes_an_import_by_hand(self, account: Account) -> None:
        spec = upload(account.http, CONTENT, SIZE)["spec"]
        assert problem(account.http.post("/v1/jobs", json=spec))["code"] == "unknown_kind"


def test_what_is_left_of_uploads_goes(api: Api, account: Account) -> None:
    """Abandoned, imported, shared with another upload, and being read: only the last two stay."""
    distinct = [bytes([number]) * SIZE for number in range(4)]
    abandoned, imported, shared, read = distinct
    path = opened(account, abandoned + shared)
    send(account, path, 1, abandoned + shared)
    send(account, path, 2, abandoned + shared)
    finish(account, upload(account.http, imported, SIZE))
    living = upload(account.http, shared + read, SIZE)
    claimed(api.database, living["id"])
    with api.database.write() as session:  # a day later
        session.execute(update(Upload).values(expires_at=db_now() - 1))
    store = open_store(api.settings)
    digests = [hashlib.sha256(content).hexdigest() for content in distinct]
    age_blobs(api.settings.artifact_root)
    Upkeep(api.database, api.settings).forget()
    assert [store.exists(digest) for digest in digests] == [False, False, True, True]
    with api.database.read(account.tenant_id) as session:
        assert session.scalars(select(Upload.id)).all() == [living["spec"]["upload_id"]]
        assert session.scalar(select(func.count()).select_from(UploadPart)) == 2
        assert session.scalar(select(Job.state).where(Job.id == living["id"])) == "running"
    assert account.http.get(path).status_code == 404


def age_blobs(root: Path) -> None:
    for blob in (root / "blobs").rglob("*"):
        if blob.is_file():
            os.utime(blob, (0, 0))
