"""Signed links: one artifact, read only, for a while; nothing that was changed opens anything."""

import time
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest

from service.artifacts.signing import Signer
from service.artifacts.tables import Artifact
from tests.fixtures.client import Account, Api
from tests.fixtures.problems import problem


@pytest.fixture
def artifact(account: Account) -> dict[str, Any]:
    made: list[dict[str, Any]] = account.http.get(f"/v1/models/{account.registry.train()}").json()[
        "artifacts"
    ]
    return made[0]


@pytest.fixture
def link(account: Account, artifact: dict[str, Any]) -> str:
    answer = account.http.post(f"/v1/artifacts/{artifact['id']}/sign", json={"ttl_s": 60})
    assert answer.status_code == 200
    return str(answer.json()["url"])


def changed(link: str, **values: object) -> str:
    query = {name: value for name, (value,) in parse_qs(urlsplit(link).query).items()}
    return f"{link.partition('?')[0]}?{urlencode(query | values)}"


class TestOpening:
    def test_it_opens_the_content_without_a_key(
        self, api: Api, account: Account, artifact: dict[str, Any], link: str
    ) -> None:
        content = account.http.get(artifact["url"])
        assert link.startswith(f"{api.url}/v1/artifacts/{artifact['id']}/signed?exp=")
        whole, part, head = (
            httpx.get(link),
            httpx.get(link, headers={"Range": "bytes=2-4"}),
            httpx.head(link),
        )
        assert (whole.status_code, whole.content) == (200, content.content)
        assert (part.status_code, part.content) == (206, content.content[2:5])
        assert (head.status_code, head.content) == (200, b"")
        for name in ("ETag", "Repr-Digest", "Content-Length", "Content-Disposition", "Cache-Control"):
            assert whole.headers[name] == content.headers[name] == head.headers[name]

    def test_the_answer_says_until_when(self, account: Account, artifact: dict[str, Any]) -> None:
        answer = account.http.post(f"/v1/artifacts/{artifact['id']}/sign", json={}).json()
        until = int(parse_qs(urlsplit(answer["url"]).query)["exp"][0])
        assert 595 <= until - time.time() <= 600
        assert answer["expires_at"].endswith("Z")

    def test_the_setting_names_the_address(
        self, api: Api, account: Account, artifact: dict[str, Any]
    ) -> None:
        inside = api.app.state.settings
        api.app.state.settings = inside.model_copy(update={"public_url": "https://cleave.example/api/"})
        try:
            url = account.http.post(f"/v1/artifacts/{artifact['id']}/sign", json={}).json()["url"]
        finally:
            api.app.state.settings = inside
        assert url.startswith(f"https://cleave.example/api/v1/artifacts/{artifact['id']}/signed?")


class TestRefusal:
    @pytest.mark.parametrize(
        "values", [{"exp": 1 << 40}, {"kid": "00000000"}, {"sig": "0" * 64}, {"sig": "é"}]
    )
    def test_changed(self, link: str, values: dict[str, object]) -> None:
        assert problem(httpx.get(changed(link, **values)))["code"] == "signature_invalid"
        assert httpx.head(changed(link, **values)).status_code == 403

    def test_another_artifact_of_the_same_tenant_and_content(
        self, api: Api, account: Account, artifact: dict[str, Any], link: str
    ) -> None:
        other = account.http.get(f"/v1/models/{account.registry.train()}").json()["artifacts"][0]["id"]
        with api.database.write() as session:
            session.get_one(Artifact, other).sha256 = artifact["sha256"]
        path, _, query = link.partition("?")
        moved = f"{path.rpartition('/v1/')[0]}/v1/artifacts/{other}/signed?{query}"
        assert problem(httpx.get(moved))["code"] == "signature_invalid"

    def test_absent_artifacts_are_not_told_from_forged_links(self, link: str) -> None:
        path, _, query = link.partition("?")
        absent = f"{path.rpartition('/v1/')[0]}/v1/artifacts/art_{'0' * 32}/signed?{query}"
        assert problem(httpx.get(absent))["code"] == "signature_invalid"

    def test_over(self, api: Api, artifact: dict[str, Any]) -> None:
        with api.database.read() as session:
            row = session.get_one(Artifact, artifact["id"])
        signature = Signer(api.app.state.pepper).sign(row, -1)
        over = f"{api.url}/v1/artifacts/{row.id}/signed?" + urlencode(vars(signature))
        answer = problem(httpx.get(over))
        assert (answer["status"], answer["code"]) == (410, "link_expired")

    def test_signed_with_another_pepper(self, api: Api, artifact: dict[str, Any]) -> None:
        with api.database.read() as session:
            row = session.get_one(Artifact, artifact["id"])
        url = f"{api.url}/v1/artifacts/{row.id}/signed?"
        for signer in (Signer(b"another"), Signer(b"")):
            assert httpx.get(url + urlencode(vars(signer.sign(row, 60)))).status_code == 403

    def test_it_opens_nothing_else(self, link: str) -> None:
        path, _, query = link.partition("?")
        for other in (path.removesuffix("/signed"), path.removesuffix("signed") + "content"):
            assert httpx.get(f"{other}?{query}").status_code in (401, 422)
        for method in ("POST", "PUT", "DELETE"):
            assert httpx.request(method, link).status_code == 405

    @pytest.mark.parametrize("body", [{"ttl_s": 3601}, {"ttl_s": 0}, {"ttl_s": "60"}, {"other": 1}])
    def test_bad_requests(self, account: Account, artifact: dict[str, Any], body: dict[str, Any]) -> None:
        assert account.http.post(f"/v1/artifacts/{artifact['id']}/sign", json=body).status_code == 422

    def test_another_tenant_cannot_sign(self, stranger: Account, artifact: dict[str, Any]) -> None:
        assert stranger.http.post(f"/v1/artifacts/{artifact['id']}/sign", json={}).status_code == 404
