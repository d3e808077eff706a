"""Tenants are walls: every operation that the API describes, with another tenant's ids.

Nothing here lists routes. A new one is covered by being in the OpenAPI document, and fails when it takes an
id of a kind that `tests/fixtures/possessions.py` does not know.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import text

from service.models.tables import Model
from tests.fixtures.client import Account, Api
from tests.fixtures.possessions import (
    ECHOES,
    KEYLESS,
    NO_REFERENCES,
    POSITIONS,
    REFERENCES,
    REQUIRED_QUERY,
    everything,
)
from tests.fixtures.problems import problem


@dataclass(frozen=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    described: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.described["operationId"])

    @property
    def names(self) -> list[str]:
        return [part[1:-1] for part in self.path.split("/") if part.startswith("{")]

    @property
    def media(self) -> dict[str, Any] | None:
        content = self.described.get("requestBody", {}).get("content", {})
        found: dict[str, Any] | None = content.get("application/json")
        return found

    @property
    def query(self) -> list[dict[str, Any]]:
        return [p for p in self.described.get("parameters", []) if p["in"] == "query"]

    def bodies(self, document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        """The schemas of the body and of what is in it, by name."""
        waiting: list[Any] = [self.media["schema"]] if self.media else []
        seen: set[str] = set()
        while waiting:
            schema = waiting.pop()
            if isinstance(schema, list):
                waiting += schema
            elif isinstance(schema, dict):
                name = str(schema.get("$ref", "")).rpartition("/")[2]
                if name and name not in seen:
                    seen.add(name)
                    yield name, document["components"]["schemas"][name]
                    waiting.append(document["components"]["schemas"][name])
                waiting += [value for key, value in schema.items() if key not in ("examples", "example")]

    def example(self, document: dict[str, Any]) -> Any:
        """A body that the document shows; None where there is none."""
        if self.media is None:
            return None
        if "examples" in self.media:
            return next(iter(self.media["examples"].values()))["value"]
        name = self.media["schema"]["$ref"].rpartition("/")[2]
        return document["components"]["schemas"][name]["examples"][0]


@dataclass(frozen=True)
class World:
    """Two tenants that have one of each thing."""

    document: dict[str, Any]
    operations: list[Operation]
    owner: Account
    theirs: dict[str, str]
    intruder: Account
    own: dict[str, str]

    @property
    def keyed(self) -> list[Operation]:
        """Those that ask for a key."""
        return [o for o in self.operations if o.path.startswith("/v1/") and o.id not in KEYLESS]

    def what_the_owner_sees(self) -> dict[str, tuple[int, str]]:
        """Every answer that the owner gets by the ids of its things."""
        seen = {}
        for operation in self.keyed:
            if operation.method == "get" and operation.names and not operation.path.endswith("/stream"):
                url = operation.path.format(**self.theirs, **POSITIONS)
                answer = self.owner.http.get(url)
                seen[url] = (answer.status_code, answer.text)
        return seen


@pytest.fixture(scope="module")
def world(api: Api) -> Iterator[World]:
    with (
        api.account(f"owner-{uuid.uuid4().hex}") as owner,
        api.account(f"intruder-{uuid.uuid4().hex}") as intruder,
    ):
        document = api.app.openapi()
        operations = [
            Operation(method, path, described)
            for path, methods in document["paths"].items()
            for method, described in methods.items()
        ]
        yield World(document, operations, owner, everything(owner), intruder, everything(intruder))


def is_reference(name: str) -> bool:
    return name == "dataset" or name.endswith(("_id", "_ids"))


class TestCoverage:
    """What fails first when a route appears that the rest would pass over."""

    def test_every_operation_asks_for_a_key(self, world: World) -> None:
        keyless = {
            o.id for o in world.operations if o.path.startswith("/v1/") and "security" not in o.described
        }
        assert keyless == set(KEYLESS), "a route without a key: say in KEYLESS what it asks for instead"

    def test_every_id_of_a_path_is_known(self, world: World) -> None:
        for operation in world.operations:
            unknown = set(operation.names) - set(world.theirs) - set(POSITIONS)
            assert not unknown, (
                f"{operation.path}: make one in tests/fixtures/possessions.everything: {unknown}"
            )

    def test_every_id_of_a_body_is_known(self, world: World) -> None:
        known = set(REFERENCES) | set(NO_REFERENCES)
        found = {
            (schema, field)
            for operation in world.operations
            for schema, definition in operation.bodies(world.document)
            for field in definition.get("properties", {})
            if is_reference(field)
        }
        assert not found - known, f"say in REFERENCES what they name, or in NO_REFERENCES: {found - known}"
        assert not known - found, f"no operation takes them any more: {known - found}"

    def test_every_id_of_a_query_is_known(self, world: World) -> None:
        for operation in world.keyed:
            names = {p["name"] for p in operation.query if p["name"].endswith("_id")}
            assert names <= set(world.theirs), f"{operation.id}: {names}: see possessions.everything"
            required = {p["name"] for p in operation.query if p.get("required")}
            known = set(REQUIRED_QUERY.get(operation.id, {}))
            assert required == known, f"{operation.id}: REQUIRED_QUERY: {required}"


class TestIds:
    def test_an_id_of_another_tenant_is_not_found(self, world: World) -> None:
        """Each id of a path in turn is the owner's, the others the intruder's own; then all are."""
        before, checked = world.what_the_owner_sees(), 0
        assert {status for status, _ in before.values()} == {200}
        for operation in world.keyed:
            names = [name for name in operation.names if name not in POSITIONS]
            if not names:
                continue
            body = operation.example(world.document)
            for taken in ([name] for name in names) if len(names) == 1 else [*([n] for n in names), names]:
                ids = world.own | {name: world.theirs[name] for name in taken}
                url = operation.path.format(**ids, **POSITIONS)
                answer = world.intruder.http.request(operation.method, url, json=body, timeout=10)
                assert problem(answer)["code"] == "not_found", f"{operation.id} with {taken}: {answer.text}"
                if operation.method == "get":
                    assert world.intruder.http.head(url).status_code in (404, 405), operation.id
            checked += 1
        assert checked >= 25
        assert world.what_the_owner_sees() == before

    def test_an_id_in_a_body_is_not_found(self, world: World) -> None:
        before, tried = world.intruder.http.get("/v1/jobs").json(), set()
        for operation in world.operations:
            for schema, definition in operation.bodies(world.document):
                for field in set(definition.get("properties", {})):
                    reference = REFERENCES.get((schema, field))
                    if reference is None:
                        continue
                    for thing in reference.things:
                        given = [world.theirs[thing]] if reference.many else world.theirs[thing]
                        url = operation.path.format(**world.own, **POSITIONS)
                        body = reference.body | {field: given}
                        answer = world.intruder.http.request(operation.method, url, json=body)
                        assert problem(answer)["status"] == 404, (operation.id, body, answer.text)
                        tried.add((schema, field))
        assert tried == set(REFERENCES)
        assert world.intruder.http.get("/v1/jobs").json() == before

    def test_a_signature_of_one_file_opens_no_other(self, world: World) -> None:
        signed = world.intruder.http.post(f"/v1/artifacts/{world.own['artifact_id']}/sign", json={})
        url = str(signed.json()["url"])
        assert world.intruder.http.get(url).status_code == 200
        answer = world.intruder.http.get(url.replace(world.own["artifact_id"], world.theirs["artifact_id"]))
        assert problem(answer)["code"] == "signature_invalid"


class TestLists:
    def test_no_answer_of_a_list_names_another_tenants_things(self, world: World) -> None:
        shown: set[str] = set()
        for operation in self._lists(world):
            if operation.id in ECHOES:
                continue
            required = REQUIRED_QUERY.get(operation.id, {})
            for account, ids, strange in (
                (world.owner, world.theirs, world.own),
                (world.intruder, world.own, world.theirs),
            ):
                text_ = account.http.get(operation.path, params=required).text
                assert not [i for i in strange.values() if i in text_], operation.id
                shown |= {name for name, i in ids.items() if i in text_}
        assert {"model_id", "module_id", "composition_id", "job_id", "webhook_id", "dataset_id"} <= shown

    def test_a_filter_by_another_tenants_id_finds_nothing(self, world: World) -> None:
        checked = 0
        for operation in self._lists(world):
            for parameter in operation.query:
                name = parameter["name"]
                if not is_reference(name):
                    continue
                given = world.theirs.get(name, world.theirs["dataset_id"])
                params = REQUIRED_QUERY.get(operation.id, {}) | {name: given}
                answer = world.intruder.http.get(operation.path, params=params)
                found = answer.json()["data"] if answer.status_code == 200 else []
                assert (answer.status_code in (200, 404), found) == (True, []), (operation.id, params)
                checked += 1
        assert checked >= 3

    @staticmethod
    def _lists(world: World) -> list[Operation]:
        return [o for o in world.keyed if o.method == "get" and not o.names]


class TestRows:
    def test_rows_of_another_tenant_are_hidden_below_the_endpoints_too(self, api: Api, world: World) -> None:
        with api.database.read(world.intruder.tenant_id) as session:
            assert session.get(Model, world.theirs["model_id"]) is None
            assert session.query(Model).count() == 1
        with api.database.read(world.owner.tenant_id) as session:
            assert session.get(Model, world.theirs["model_id"]) is not None
        with api.database.read() as session:
            assert session.execute(text("SELECT count(*) FROM models")).scalar_one() > 1

    def test_what_another_tenants_jobs_used_is_not_shown_of_a_shared_dataset(
        self, world: World, stranger: Account
    ) -> None:
        assert world.owner.http.get("/v1/datasets/digits").json()["versions"]
        assert stranger.http.get("/v1/datasets/digits").json()["versions"] == []
