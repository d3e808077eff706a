"""Reading what was read before: from what is kept, and never anything old or anybody else's."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from sqlalchemy import text

from tests.fixtures.client import Account, Api
from tests.fixtures.problems import problem
from tests.fixtures.statements import statements


@pytest.fixture
def paths(account: Account) -> dict[str, str]:
    """One thing of each kind."""
    model_id = account.registry.train()
    (module_id,) = account.registry.extract(model_id, {"cat": 0.9})
    composition_id = account.registry.compose({"classes": ["cat"]})["composition_id"]
    return {
        "models": f"/v1/models/{model_id}",
        "modules": f"/v1/modules/{module_id}",
        "compositions": f"/v1/compositions/{composition_id}",
    }


class TestKept:
    def test_what_has_not_changed_costs_one_statement(
        self, api: Api, account: Account, paths: dict[str, str]
    ) -> None:
        lists = [*(f"/v1/{kind}?limit=5" for kind in paths), "/v1/classes?name=cat"]
        for path in (*paths.values(), *lists):
            first = account.http.get(path)
            with statements(api.app.state.database.engine) as seen:
                again = account.http.get(path)
            assert (again.status_code, again.content) == (200, first.content)
            assert again.headers.get("ETag") == first.headers.get("ETag")
            assert len([s for s, _ in seen if s.startswith("SELECT") and "api_keys" not in s]) == 1, path

    def test_a_list_is_its_items(self, account: Account, paths: dict[str, str]) -> None:
        for kind, path in paths.items():
            item = account.http.get(path)
            for _ in range(2):
                listed = account.http.get(f"/v1/{kind}")
                assert listed.json() == {"data": [item.json()], "has_more": False, "next_cursor": None}
                assert item.content in listed.content

    def test_who_has_it_already_is_told_so(self, account: Account, paths: dict[str, str]) -> None:
        for path in paths.values():
            tag = account.http.get(path).headers["ETag"]
            for named in (tag, f'"x", W/{tag}', "*"):
                answer = account.http.get(path, headers={"If-None-Match": named})
                assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", tag)
            assert account.http.get(path, headers={"If-None-Match": '"x"'}).status_code == 200
            account.http.patch(path, json={"tags": ["new"]})
            changed = account.http.get(path, headers={"If-None-Match": tag})
            assert (changed.status_code, changed.json()["tags"]) == (200, ["new"])

    def test_what_is_gone_is_not_there(self, account: Account, paths: dict[str, str]) -> None:
        for path in reversed(paths.values()):
            assert [account.http.get(path).status_code for _ in range(2)] == [200, 200]
            assert account.http.delete(path).status_code == 204
            assert problem(account.http.get(path))["code"] == "not_found"


class TestAskedAgain:
    """As the framework answers it the first time."""

    def test_by_nobody_and_by_a_stranger(
        self, api: Api, account: Account, stranger: Account, paths: dict[str, str]
    ) -> None:
        for path in paths.values():
            account.http.get(path)
            assert problem(stranger.http.get(path))["code"] == "not_found"
            for headers in ({}, {"Authorization": "Bearer cleave_a_b"}, {"X-API-Key": "x"}):
                answer = httpx.get(api.url + path, headers=headers)
                assert problem(answer)["code"] == "unauthorized"
                assert answer.headers["WWW-Authenticate"]
            for name, value in (("X-API-Key", account.key), ("authorization", f"bearer {account.key}")):
                assert httpx.get(api.url + path, headers={name: value}).status_code == 200
            collection = path.rpartition("/")[0]
            assert len(account.http.get(collection).json()["data"]) == 1
            assert stranger.http.get(collection).json()["data"] == []

    def test_with_the_same_headers_and_figures(
        self, api: Api, account: Account, paths: dict[str, str]
    ) -> None:
        answers = [account.http.get(paths["modules"], headers={"X-Request-ID": "mine"}) for _ in range(2)]
        assert answers[0].headers.keys() == answers[1].headers.keys()
        assert answers[1].headers["X-Request-ID"] == "mine"
        line = 'cleave_http_requests_total{method="GET",route="/v1/modules/{module_id}",status="200"}'
        before = api.app.state.traffic.text().partition(line)[2].split()[0]
        account.http.get(paths["modules"])
        after = api.app.state.traffic.text().partition(line)[2].split()[0]
        assert float(after) == float(before) + 1

    def test_with_another_method_or_query(self, account: Account, paths: dict[str, str]) -> None:
        for _ in range(2):
            assert account.http.get(paths["models"]).status_code == 200
            assert problem(account.http.get(paths["models"] + "?a=b"))["code"] == "unknown_parameter"
            refusal = account.http.post(paths["models"])
            assert (refusal.status_code, refusal.headers["Allow"]) == (405, "DELETE, GET, PATCH")

    def test_a_name_means_what_it_means_now(self, account: Account) -> None:
        first, second = account.registry.train(), account.registry.train()
        for model_id in (first, second):
            account.http.patch(f"/v1/models/{model_id}", json={"name": "net"})
        for model_id in (first, second, first):
            account.http.put(f"/v1/models/{model_id}/aliases/best")
            assert account.http.get("/v1/models/net@best").json()["id"] == model_id


class TestRevisions:
    """The database itself tells that something has changed, whoever changed it."""

    @pytest.mark.parametrize("part", ["labels", "metrics", "artifact_links"])
    @pytest.mark.parametrize("kind", ["models", "modules", "compositions"])
    def test_each_part_of_each(
        self, api: Api, account: Account, paths: dict[str, str], kind: str, part: str
    ) -> None:
        owner = paths[kind].rpartition("/")[2]
        account.http.patch(paths[kind], json={"tags": ["a"]})
        account.registry.evaluate(owner, 0.5)
        changed = {"labels": "value = 'b'", "metrics": "value = 0.25", "artifact_links": "role = 'x' || role"}
        copied = {
            "labels": "INSERT INTO labels (owner_id, tenant_id, kind, key, value) "
            "SELECT owner_id, tenant_id, kind, 'k', value FROM labels WHERE owner_id = :owner",
            "metrics": "INSERT INTO metrics (tenant_id, job_id, owner_id, name, value, created_at) "
            "SELECT tenant_id, job_id, owner_id, 'x', value, created_at FROM metrics WHERE owner_id = :owner",
            "artifact_links": "INSERT INTO artifact_links (owner_id, role, tenant_id, artifact_id) "
            "SELECT owner_id, 'y' || role, tenant_id, artifact_id FROM artifact_links "
            "WHERE owner_id = :owner",
        }
        for statement in (
            f"UPDATE {part} SET {changed[part]} WHERE owner_id = :owner",
            copied[part],
            f"DELETE FROM {part} WHERE owner_id = :owner",
        ):
            assert self.revises(api, kind, owner, statement), statement

    def test_the_row_and_the_aliases(self, api: Api, account: Account) -> None:
        model_id, other = account.registry.train(), account.registry.train()
        for owner in (model_id, other):
            account.http.patch(f"/v1/models/{owner}", json={"name": "net"})
        account.http.put(f"/v1/models/{model_id}/aliases/best")
        assert self.revises(api, "models", model_id, "UPDATE models SET version = 7 WHERE id = :owner")
        assert not self.revises(api, "models", other, "UPDATE models SET version = 8 WHERE id = 'none'")
        moved = f"UPDATE model_aliases SET model_id = '{other}' WHERE model_id = '{model_id}'"
        back = f"UPDATE model_aliases SET model_id = '{model_id}' WHERE model_id = '{other}'"
        assert self.revises(api, "models", model_id, moved)
        assert self.revises(api, "models", other, back)
        gone = "DELETE FROM model_aliases WHERE model_id = :owner"
        assert self.revises(api, "models", model_id, gone)

    @staticmethod
    def revises(api: Api, kind: str, owner: str, statement: str) -> bool:
        """Whether the statement changes the owner's revision."""
        look = text(f"SELECT revision FROM {kind} WHERE id = :owner")
        with api.database.read() as session:
            before = session.scalar(look, {"owner": owner})
        with api.database.write() as session:
            session.execute(text(statement), {"owner": owner} if ":owner" in statement else {})
        with api.database.read() as session:
            return bool(session.scalar(look, {"owner": owner}) != before)


def test_an_alias_that_two_callers_move_at_once_ends_with_one_of_them(account: Account) -> None:
    ids = [account.registry.train() for _ in range(2)]
    for model_id in ids:
        account.http.patch(f"/v1/models/{model_id}", json={"name": "net"})
    paths = [f"/v1/models/{ids[number % 2]}/aliases/best" for number in range(24)]
    with ThreadPoolExecutor(4) as pool:
        assert {answer.status_code for answer in pool.map(account.http.put, paths)} == {200}
    meant = account.http.get("/v1/models/net@best").json()["id"]
    aliases = {model_id: account.http.get(f"/v1/models/{model_id}").json()["aliases"] for model_id in ids}
    assert aliases == {model_id: ["best"] if model_id == meant else [] for model_id in ids}
