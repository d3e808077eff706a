"""Keys over HTTP: what each scope may do, rotation, expiry, last use."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from service.platform.auth import load_pepper, parse_key
from service.platform.database import settings_of
from service.platform.recent import Recent
from service.platform.scopes import Scope, scope_for
from service.tenants import keys
from service.tenants.tables import ApiKey
from tests.fixtures.client import Account, Api, any_database
from tests.fixtures.problems import problem

TRAIN = {"kind": "train", "architecture": "small_cnn", "dataset": "digits"}


def made(account: Account, **values: Any) -> dict[str, Any]:
    answer = account.http.post("/v1/api_keys", json={"name": "made", **values})
    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"] == f"/v1/api_keys/{answer.json()['id']}"
    key: dict[str, Any] = answer.json()
    return key


@contextmanager
def holder(api: Api, account: Account, **values: Any) -> Iterator[httpx.Client]:
    with api.client(made(account, **values)["api_key"]) as http:
        yield http


def forget_callers(api: Api) -> None:
    """As when the second is over for which callers are known without asking the database."""
    api.app.state.callers = Recent(1.0, 100)


class TestScopes:
    @any_database
    def test_every_operation_asks_for_the_scope_it_declares(self, api: Api, account: Account) -> None:
        """A key of a smaller scope is refused before anything is looked up; of the scope itself, never."""
        clients = {scope: api.client(made(account, scope=scope)["api_key"]) for scope in Scope}
        refused = 0
        for path, methods in api.app.openapi()["paths"].items():
            for method, operation in methods.items():
                if "security" not in operation:
                    continue
                ((needed,),) = {tuple(next(iter(way.values()))) for way in operation["security"]}
                assert needed == scope_for(operation["operationId"], method.upper())
                if "/{" in path and "stream" in path:
                    continue
                url = path.replace("{number}", "1").replace("{", "").replace("}", "")
                for scope, client in clients.items():
                    status = client.request(method, url).status_code
                    assert (status == 403) == (not scope.includes(Scope(needed))), (scope, method, path)
                    refused += status == 403
        for client in clients.values():
            client.close()
        assert refused > 20

    def test_the_refusal_names_what_is_needed(self, api: Api, account: Account) -> None:
        with holder(api, account, scope="read") as http:
            body = problem(http.post("/v1/jobs", json=TRAIN))
            assert (body["status"], body["code"]) == (403, "forbidden_scope")
            assert "write" in body["detail"]
            assert http.get("/v1/jobs").json()["data"] == []
        with holder(api, account, scope="write") as http:
            assert http.post("/v1/jobs", json=TRAIN).status_code == 202
            assert problem(http.post("/v1/api_keys", json={"name": "mine"}))["code"] == "forbidden_scope"

    def test_a_key_that_is_made_can_write_unless_said_otherwise(self, account: Account) -> None:
        assert made(account)["scope"] == "write"


class TestLife:
    def test_the_text_is_shown_once(self, account: Account) -> None:
        key = made(account)
        for answer in (
            account.http.get("/v1/api_keys"),
            account.http.get(f"/v1/api_keys/{key['id']}"),
            account.http.post(f"/v1/api_keys/{key['id']}/revoke"),
        ):
            assert answer.status_code == 200
            assert key["api_key"].split("_")[2] not in answer.text

    def test_after_a_rotation_both_are_good_until_the_old_one_is_not(
        self, api: Api, account: Account
    ) -> None:
        key = made(account)
        rotated = account.http.post(f"/v1/api_keys/{key['id']}/rotate", json={"overlap_s": 60}).json()
        assert rotated["id"] == key["id"]
        assert rotated["previous_until"] > key["created_at"]
        with api.client(key["api_key"]) as old, api.client(rotated["api_key"]) as new:
            assert (old.get("/v1/jobs").status_code, new.get("/v1/jobs").status_code) == (200, 200)
            with api.database.write() as session:
                past = ApiKey.previous_until - 61_000
                session.execute(update(ApiKey).where(ApiKey.id == key["id"]).values(previous_until=past))
            forget_callers(api)
            assert (old.get("/v1/jobs").status_code, new.get("/v1/jobs").status_code) == (401, 200)

    def test_of_two_rotations_at_once_both_secrets_are_good(self, api: Api, account: Account) -> None:
        key_id = made(account)["id"]
        seen, begun = [], Barrier(2)

        def rotate() -> str:
            with api.database.write() as session:
                if api.database.engine.dialect.name == "postgresql":  # SQLite has one writer
                    seen.append(session.get_one(ApiKey, key_id))
                    begun.wait(10)
                return keys.rotate(session, load_pepper(settings_of(session)), key_id, 60).api_key

        with ThreadPoolExecutor(2) as pool:
            texts = [made.result() for made in [pool.submit(rotate) for _ in range(2)]]
        for text in texts:
            with api.client(text) as http:
                assert http.get("/v1/jobs").status_code == 200

    def test_without_an_overlap_the_old_secret_ends_at_once(self, api: Api, account: Account) -> None:
        key = made(account)
        account.http.post(f"/v1/api_keys/{key['id']}/rotate", json={"overlap_s": 0})
        with api.client(key["api_key"]) as http:
            assert http.get("/v1/jobs").status_code == 401

    def test_a_key_that_is_over_is_not_rotated(self, account: Account) -> None:
        key = made(account)
        assert account.http.post(f"/v1/api_keys/{key['id']}/revoke").json()["state"] == "revoked"
        answer = account.http.post(f"/v1/api_keys/{key['id']}/rotate", json={})
        assert problem(answer)["code"] == "key_ended"

    def test_expiry_is_set_when_it_is_made(self, api: Api, account: Account) -> None:
        key = made(account, expires_in_days=1)
        with api.client(key["api_key"]) as http:
            assert http.get("/v1/jobs").status_code == 200
            with api.database.write() as session:
                past = ApiKey.expires_at - 86_400_001
                session.execute(update(ApiKey).where(ApiKey.id == key["id"]).values(expires_at=past))
            forget_callers(api)
            assert http.get("/v1/jobs").status_code == 401
        assert account.http.get(f"/v1/api_keys/{key['id']}").json()["state"] == "expired"

    def test_the_last_use_is_written_at_most_once_a_minute(self, api: Api, account: Account) -> None:
        key_id = parse_key(account.key).key_id  # type: ignore[union-attr]  # it is a key

        def used() -> Any:
            forget_callers(api)
            return account.http.get(f"/v1/api_keys/{key_id}").json()["last_used_at"]

        first = used()
        assert first is not None
        time.sleep(0.01)
        assert used() == first
        with api.database.write() as session:
            past = ApiKey.last_used_at - 61_000
            session.execute(update(ApiKey).where(ApiKey.id == key_id).values(last_used_at=past))
        assert used() > first

    @pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": "a\nb"}, {"name": "x", "scope": "root"}])
    def test_refused(self, account: Account, body: dict[str, Any]) -> None:
        assert problem(account.http.post("/v1/api_keys", json=body))["status"] == 422
