"""Downloads: conditions, ranges, digests, over a real socket."""

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.artifacts.tables import Artifact
from service.platform.storage import CHUNK_BYTES, open_store
from tests.fixtures.client import Account, Api


class Download:
    """One artifact and what it should be."""

    def __init__(self, account: Account) -> None:
        self.account = account
        artifacts = account.http.get(f"/v1/models/{account.registry.train()}").json()["artifacts"]
        self.info = next(a for a in artifacts if a["role"] == "weights")
        self.url = self.info["url"]
        self.content = account.http.get(self.url).content

    def get(self, **headers: str) -> "Answer":
        return Answer(self.account, self.url, {name.replace("_", "-"): v for name, v in headers.items()})


class Answer:
    def __init__(self, account: Account, url: str, headers: dict[str, str]) -> None:
        response = account.http.get(url, headers=headers)
        self.status, self.headers, self.body = response.status_code, response.headers, response.content
        self.json: Callable[[], dict[str, Any]] = response.json


@pytest.fixture
def download(account: Account) -> Download:
    return Download(account)


class TestWhole:
    def test_content_and_headers(self, download: Download) -> None:
        digest = hashlib.sha256(download.content).digest()
        answer = download.get()
        assert (answer.status, answer.body) == (200, download.content)
        assert download.info["sha256"] == digest.hex()
        assert answer.headers["ETag"] == f'"{digest.hex()}"'
        assert answer.headers["Repr-Digest"] == f"sha-256=:{base64.b64encode(digest).decode()}:"
        assert answer.headers["Content-Length"] == str(len(download.content)) == str(download.info["size"])
        assert answer.headers["Accept-Ranges"] == "bytes"
        assert answer.headers["Content-Disposition"].startswith('attachment; filename="weights.bin"')
        assert "private" in answer.headers["Cache-Control"]
        assert "immutable" in answer.headers["Cache-Control"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Security-Policy"] == "sandbox"

    def test_head_equals_get_without_content(self, account: Account, download: Download) -> None:
        whole = account.http.get(download.url)
        head = account.http.head(download.url, headers={"Range": "bytes=0-3"})
        ignored = {"date", "x-request-id"}
        assert head.status_code == 200
        assert head.content == b""
        assert {k: v for k, v in head.headers.items() if k not in ignored} == {
            k: v for k, v in whole.headers.items() if k not in ignored
        }

    def test_metadata_names_the_owner(self, account: Account, download: Download) -> None:
        detail = account.http.get(f"/v1/artifacts/{download.info['id']}").json()
        assert detail["sha256"] == download.info["sha256"]
        assert [owner["role"] for owner in detail["owners"]] == ["weights"]
        assert account.http.head(f"/v1/artifacts/{download.info['id']}").status_code == 200

    def test_another_tenants_artifact_is_absent(self, stranger: Account, download: Download) -> None:
        assert stranger.http.get(download.url).status_code == 404
        assert stranger.http.head(download.url).status_code == 404
        assert stranger.http.get(f"/v1/artifacts/{download.info['id']}").status_code == 404

    def test_missing_blob_is_a_problem_not_a_broken_stream(self, api: Api, download: Download) -> None:
        assert open_store(api.settings).remove(download.info["sha256"], -1e6)
        answer = download.get()
        assert (answer.status, answer.json()["code"]) == (500, "artifact_missing")


class TestConditions:
    def test_if_none_match(self, download: Download) -> None:
        etag = download.get().headers["ETag"]
        for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
            answer = download.get(If_None_Match=known)
            assert (answer.status, answer.body) == (304, b"")
            assert answer.headers["ETag"] == etag
        assert download.get(If_None_Match='"other"').status == 200

    def test_a_list_in_several_lines(self, download: Download) -> None:
        etag = download.get().headers["ETag"]

        def status(name: str, *lines: str) -> int:
            headers = [(name, line) for line in lines]
            return download.account.http.get(download.url, headers=headers).status_code

        assert status("If-None-Match", '"other"', etag) == 304
        assert status("If-None-Match", '"other"', '"another"') == 200
        assert status("If-Match", '"other"', etag) == 200
        assert status("If-Match", '"other"', '"another"') == 412

    def test_if_match(self, download: Download) -> None:
        etag = download.get().headers["ETag"]
        assert download.get(If_Match=etag).status == 200
        assert download.get(If_Match="*").status == 200
        for other in ('"other"', f"W/{etag}"):
            refused = download.get(If_Match=other)
            assert (refused.status, refused.json()["code"]) == (412, "precondition_failed")

    def test_if_range(self, download: Download) -> None:
        etag = download.get().headers["ETag"]
        assert download.get(Range="bytes=1-2", If_Range=etag).status == 206
        assert download.get(Range="bytes=1-2", If_Range='"other"').status == 200
        assert download.get(Range="bytes=1-2", If_Range=f"W/{etag}").status == 200


@pytest.mark.parametrize("api", ["sqlite", "s3"], indirect=True)  # of the kinds of store, not of database
class TestRanges:
    @pytest.mark.parametrize(
        ("asked", "expected"),
        [
            ("bytes=0-0", slice(0, 1)),
            ("bytes=3-6", slice(3, 7)),
            ("bytes=5-", slice(5, None)),
            ("bytes=-4", slice(-4, None)),
            ("bytes=-100000", slice(0, None)),
            ("bytes=2-100000", slice(2, None)),
        ],
    )
    def test_one_range(self, download: Download, asked: str, expected: slice) -> None:
        answer = download.get(Range=asked)
        size = len(download.content)
        start, stop, _ = expected.indices(size)
        assert (answer.status, answer.body) == (206, download.content[expected])
        assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{size}"
        assert answer.headers["Content-Length"] == str(stop - start)

    @pytest.mark.parametrize("asked", ["bytes=100000-", "bytes=-0"])
    def test_outside(self, download: Download, asked: str) -> None:
        answer = download.get(Range=asked)
        assert (answer.status, answer.json()["code"]) == (416, "range_not_satisfiable")
        assert answer.headers["Content-Range"] == f"bytes */{len(download.content)}"

    @pytest.mark.parametrize(
        "asked",
        ["bytes=0-1,3-4", "items=0-1", "bytes=5-3", "bytes=-", "bytes=a-b", "bytes=" + "1" * 30 + "-"],
    )
    def test_what_is_not_one_valid_range_gets_the_whole(self, download: Download, asked: str) -> None:
        answer = download.get(Range=asked)
        assert (answer.status, answer.body) == (200, download.content)


def test_content_of_many_chunks_arrives_whole_and_in_parts(
    api: Api, account: Account, tmp_path: Path
) -> None:
    model_id = account.registry.train()
    info = account.http.get(f"/v1/models/{model_id}").json()["artifacts"][0]
    content = bytes(range(251)) * (2 * CHUNK_BYTES // 251 + 7)
    (tmp_path / "large").write_bytes(content)
    blob = open_store(api.settings).ingest(tmp_path / "large")
    with api.database.write() as session:
        artifact = session.get_one(Artifact, info["id"])
        artifact.sha256, artifact.size = blob.sha256, blob.size
    middle = CHUNK_BYTES + 1
    first = account.http.get(info["url"], headers={"Range": f"bytes=0-{middle - 1}"})
    rest = account.http.get(info["url"], headers={"Range": f"bytes={middle}-"})
    assert first.content + rest.content == content == account.http.get(info["url"]).content


def test_with_the_setting_the_bucket_serves_the_content(api: Api, download: Download) -> None:
    if not api.settings.stores_in_s3:
        assert download.get().status == 200
        return
    served = api.app.state.store
    api.app.state.store = open_store(api.settings.model_copy(update={"s3_redirect": True}))
    try:
        answer = download.get(Range="bytes=2-5")
        assert (answer.status, answer.headers["Cache-Control"]) == (302, "no-store")
        elsewhere = httpx.get(answer.headers["Location"], headers={"Range": "bytes=2-5"})
        assert elsewhere.content == download.content[2:6]
        assert elsewhere.headers["Content-Disposition"].startswith('attachment; filename="weights.bin"')
        assert download.get(If_None_Match=f'"{download.info["sha256"]}"').status == 304
        assert download.get(If_Match='"other"').status == 412
    finally:
        api.app.state.store = served
