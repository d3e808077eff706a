"""Manifests and bundles by HTTP, the client and the command line."""

import hashlib
import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from service.artifacts.tables import Artifact
from service.bundles.service import CHUNK_BYTES
from service.cli.main import app
from service.client import CleaveClient, DigestMismatchError
from service.client.errors import InvalidIdError
from service.platform.storage import open_store
from tests.fixtures.client import Account, Api
from tests.fixtures.problems import problem


@pytest.fixture
def owners(account: Account) -> dict[str, str]:
    model_id = account.registry.train()
    (module_id,) = account.registry.extract(model_id, {"cat": 0.9})
    composition = account.registry.compose({"classes": ["cat"]})["composition_id"]
    return {"models": model_id, "modules": module_id, "compositions": str(composition)}


def grow(api: Api, artifact_id: str, content: bytes, tmp_path: Path) -> str:
    """Give an artifact other content."""
    (tmp_path / "large").write_bytes(content)
    blob = open_store(api.settings).ingest(tmp_path / "large")
    with api.database.write() as session:
        row = session.get_one(Artifact, artifact_id)
        row.sha256, row.size = blob.sha256, blob.size
    return blob.sha256


class TestManifest:
    def test_it_says_what_is_on_record(self, account: Account, owners: dict[str, str]) -> None:
        for kind, owner_id in owners.items():
            described = account.http.get(f"/v1/{kind}/{owner_id}").json()
            manifest = account.http.get(f"/v1/{kind}/{owner_id}/manifest").json()
            assert (manifest["id"], manifest["kind"] + "s") == (owner_id, kind)
            assert manifest["model_id"] == owners["models"]
            assert (manifest["dataset"]["name"], manifest["dataset"]["sha256"]) == ("digits", "d" * 64)
            assert (manifest["input"]["shape"], manifest["seed"]) == ([1, 8, 8], 0)
            for field in ("classes", "metrics", "job_id", "parameters", "created_at"):
                assert manifest[field] == described[field]
            assert {f["sha256"] for f in manifest["files"]} == {a["sha256"] for a in described["artifacts"]}
        assert manifest["module_ids"] == [owners["modules"]]

    def test_chunks(self, api: Api, account: Account, owners: dict[str, str], tmp_path: Path) -> None:
        url = f"/v1/models/{owners['models']}"
        artifacts = account.http.get(url).json()["artifacts"]
        contents = [b"", b"x" * CHUNK_BYTES, os.urandom(2 * CHUNK_BYTES + 5)]
        for artifact, content in zip(artifacts, contents, strict=True):
            grow(api, artifact["id"], content, tmp_path)
        found = {f["sha256"]: f["chunks_8mib"] for f in account.http.get(f"{url}/manifest").json()["files"]}
        for content in contents:
            starts = range(0, len(content), CHUNK_BYTES) or [0]
            chunks = [hashlib.sha256(content[start : start + CHUNK_BYTES]).hexdigest() for start in starts]
            assert found[hashlib.sha256(content).hexdigest()] == chunks

    def test_what_is_not_built_yet_has_none(self, account: Account) -> None:
        account.registry.extract(account.registry.train(), {"dog": 0.9})
        made = account.http.post("/v1/compositions", json={"classes": ["dog"]}).json()["composition"]["id"]
        for what in ("manifest", "bundle"):
            refused = problem(account.http.get(f"/v1/compositions/{made}/{what}"))
            assert (refused["status"], refused["code"]) == (409, "composition_not_ready")


class TestBundle:
    def test_all_files_with_their_sums(self, account: Account, owners: dict[str, str]) -> None:
        for kind, owner_id in owners.items():
            answer = account.http.get(f"/v1/{kind}/{owner_id}/bundle")
            assert answer.headers["Content-Type"] == "application/zip"
            assert answer.headers["Content-Length"] == str(len(answer.content))
            assert f'filename="{owner_id}.zip"' in answer.headers["Content-Disposition"]
            with zipfile.ZipFile(io.BytesIO(answer.content)) as bundle:
                files = {name.removeprefix(f"{owner_id}/"): bundle.read(name) for name in bundle.namelist()}
            assert (
                json.loads(files["manifest.json"])
                == account.http.get(f"/v1/{kind}/{owner_id}/manifest").json()
            )
            sums = files.pop("SHA256SUMS").decode().splitlines()
            assert sorted(sums) == sorted(
                f"{hashlib.sha256(content).hexdigest()}  {name}" for name, content in files.items()
            )
            assert len(files) == 4

    def test_equal_until_something_new_is_on_record(self, account: Account, owners: dict[str, str]) -> None:
        url = f"/v1/models/{owners['models']}/bundle"
        first, second = account.http.get(url), account.http.get(url)
        etag = first.headers["ETag"]
        assert (second.content, second.headers["ETag"]) == (first.content, etag)
        assert account.http.get(url, headers={"If-None-Match": etag}).status_code == 304
        head = account.http.head(url)
        assert (head.headers["ETag"], head.headers["Content-Length"]) == (etag, str(len(first.content)))
        account.registry.evaluate(owners["models"], 0.5)
        assert account.http.get(url).headers["ETag"] != etag
        assert account.http.get(url, headers={"If-Match": etag}).status_code == 412

    def test_it_resumes(self, account: Account, owners: dict[str, str]) -> None:
        url = f"/v1/modules/{owners['modules']}/bundle"
        content = account.http.get(url).content
        half = len(content) // 2
        rest = account.http.get(url, headers={"Range": f"bytes={half}-"})
        assert (rest.status_code, rest.content) == (206, content[half:])

    def test_a_missing_file_is_told_before_the_answer_begins(
        self, api: Api, account: Account, owners: dict[str, str]
    ) -> None:
        url = f"/v1/models/{owners['models']}"
        account.http.get(f"{url}/bundle")
        lost = account.http.get(url).json()["artifacts"][0]["sha256"]
        assert open_store(api.settings).remove(lost, -1e6)
        assert problem(account.http.get(f"{url}/bundle"))["code"] == "artifact_missing"

    def test_an_id_of_another_kind(self, account: Account, owners: dict[str, str]) -> None:
        for what in ("manifest", "bundle"):
            assert account.http.get(f"/v1/models/{owners['modules']}/{what}").status_code == 404


class TestClient:
    @pytest.fixture
    def client(self, api: Api, account: Account) -> Any:
        with CleaveClient(api.url, account.key) as client:
            yield client

    def test_a_verified_bundle(self, client: CleaveClient, owners: dict[str, str], tmp_path: Path) -> None:
        path = client.artifacts.bundle(owners["compositions"], tmp_path)
        assert path == tmp_path / f"{owners['compositions']}.zip"
        with zipfile.ZipFile(path) as bundle:
            assert len(bundle.namelist()) == 5
        assert len(client.artifacts.manifest(owners["compositions"]).files) == 3
        with pytest.raises(InvalidIdError):
            client.artifacts.bundle("job_1", tmp_path)

    def test_damage_is_noticed_and_nothing_kept(
        self, api: Api, client: CleaveClient, owners: dict[str, str], tmp_path: Path
    ) -> None:
        artifact = client.models.get(owners["models"]).artifacts[0]
        path = open_store(api.settings).path(artifact.sha256)
        path.chmod(0o644)
        path.write_bytes(bytes(reversed(path.read_bytes())))
        with pytest.raises(DigestMismatchError):
            client.artifacts.bundle(owners["models"], tmp_path / "got.zip")
        assert list(tmp_path.iterdir()) == []

    def test_by_the_command_line(
        self, api: Api, account: Account, owners: dict[str, str], tmp_path: Path
    ) -> None:
        where = ["--url", api.url, "--api-key", account.key]
        done = CliRunner().invoke(
            app, [*where, "bundle", owners["models"], str(tmp_path / "b.zip"), "--json"]
        )
        assert json.loads(done.stdout)["size"] == (tmp_path / "b.zip").stat().st_size
