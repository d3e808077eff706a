"""Errors of every origin, in one shape."""

import base64
import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.client import Account, Api, any_database, open_api
from tests.fixtures.database import migrated, settings_for
from tests.fixtures.possessions import POSITIONS, everything
from tests.fixtures.problems import problem

TRAIN = {"kind": "train", "architecture": "small_cnn", "dataset": "digits"}


class TestMissing:
    @pytest.mark.parametrize(
        "path",
        ["models/mdl_0", "models/mdl_0/lineage", "models/mdl_0/modules", "modules/mod_0",
         "modules/mod_0/card", "compositions/cmp_0", "artifacts/art_0", "webhooks/whk_0", "jobs/job_0"],
    )  # fmt: skip
    def test_it_is_named(self, account: Account, path: str) -> None:
        kind, row_id = path.split("/")[:2]
        assert problem(account.http.get(f"/v1/{path}"))["detail"] == f"There is no {kind[:-1]} {row_id}."

    def test_of_several_the_one(self, account: Account) -> None:
        model_id = account.registry.train()
        body = problem(account.http.get(f"/v1/models/compare?ids={model_id},mdl_0"))
        assert body["detail"] == "There is no model mdl_0."

    def test_not_more_than_an_id_can_have(self, account: Account) -> None:
        assert len(problem(account.http.get(f"/v1/models/{'x' * 2000}"))["detail"]) < 100

    @any_database
    def test_a_key_of_metadata_that_is_refused_does_not_fit_the_schema(self, account: Account) -> None:
        schemas = account.http.get("/openapi.json").json()["components"]["schemas"]
        described = schemas["ModelImport"]["properties"]["metadata"]
        (pattern,) = described["patternProperties"]
        fitting = [key for key in ("team", "a b", "", "a=b", "a\nb", "a\x1bb") if re.search(pattern, key)]
        assert (fitting, described["additionalProperties"]) == (["team", "a b"], False)


class TestFramework:
    @any_database
    def test_no_such_path(self, account: Account) -> None:
        assert problem(account.http.get("/v1/nothing"))["code"] == "not_found"

    @any_database
    def test_no_such_method(self, account: Account) -> None:
        answer = account.http.delete("/v1/models")
        assert problem(answer)["code"] == "method_not_allowed"
        assert answer.headers["Allow"] == "GET, POST"
        # The framework tells those of the path's first route only.
        assert account.http.put("/v1/jobs").headers["Allow"] == "GET, POST"

    @any_database
    def test_unknown_query_parameter(self, account: Account) -> None:
        body = problem(account.http.get("/v1/models?aproach=nemo"))
        assert (body["status"], body["code"]) == (422, "unknown_parameter")
        assert body["errors"][0]["pointer"] == "/aproach"

    @any_database
    @pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=many"])
    def test_limits_of_a_page(self, account: Account, query: str) -> None:
        body = problem(account.http.get(f"/v1/modules?{query}"))
        assert body["errors"][0] | {"pointer": "/limit", "in": "query"} == body["errors"][0]

    @any_database
    @pytest.mark.parametrize(
        "cursor", ["x", "bnVsbA", "WzEsMl0", "W10", "WyJhIiwiYiJd", "W251bGwsIngiXQ", "WzFlMzAwLCJ4Il0"]
    )
    def test_a_cursor_that_is_not_ours(self, account: Account, cursor: str) -> None:
        body = problem(account.http.get(f"/v1/models?after={cursor}"))
        assert (body["status"], body["code"] in ("invalid_cursor", "cursor_mismatch")) == (400, True)

    def test_no_number_of_a_query_is_too_much(self, api: Api, account: Account) -> None:
        """Every numeric parameter of every path, as the API itself describes them."""
        ids, tried = everything(account) | POSITIONS, set()
        for path, operations in api.app.openapi()["paths"].items():
            for parameter in operations.get("get", {}).get("parameters", []):
                kinds = {s.get("type") for s in parameter["schema"].get("anyOf", [parameter["schema"]])}
                if parameter["in"] != "query" or not kinds & {"integer", "number"}:
                    continue
                url = path.format_map(ids)
                for value in (-1, 2**70, "9" * 5000, "nan"):
                    answer = account.http.get(url, params={parameter["name"]: value})
                    assert problem(answer)["status"] == 422, (url, parameter["name"], value)
                assert account.http.get(url, params={parameter["name"]: 2**31}).status_code != 500
                tried.add(parameter["name"])
        assert tried >= {"limit", "after", "wait", "exp", "min_f1", "parameters[lte]"}

    @pytest.mark.parametrize("number", [2**31, 2**63, 2**70, -(2**63), 1.5, True, float("1e308")])
    def test_no_number_of_a_cursor_is_too_much(self, account: Account, number: float) -> None:
        account.registry.extract(account.registry.train(), {"cat": 0.9})
        job_id = account.http.get("/v1/jobs").json()["data"][0]["id"]
        for path, position in (
            ("/v1/models?", [number, "x"]),
            ("/v1/classes?name=cat&", [number, number, "x"]),
            ("/v1/classes?name=cat&", [number, 0, "x"]),
            (f"/v1/jobs/{job_id}/metrics?", [number]),
        ):
            cursor = base64.urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")
            answer = account.http.get(f"{path}after={cursor}")
            assert answer.status_code in (200, 400), (path, position)

    def test_a_crash_tells_the_caller_nothing_of_its_cause(self, tmp_path: Path) -> None:
        settings = settings_for(tmp_path, auth=False)
        with migrated(settings) as database, open_api(settings, database) as api, api.client() as http:
            with database.engine.begin() as connection:
                connection.exec_driver_sql(
                    "INSERT INTO tenants (id, name, created_at) VALUES ('ten_x', 'x', 'not a time')"
                )
                connection.exec_driver_sql("DELETE FROM tenants WHERE name = 'default'")
            api.app.state.store_check = None
            answer = http.get("/readyz")
        body = problem(answer)
        assert (body["status"], body["code"]) == (500, "internal_error")
        assert "NoneType" not in answer.text


class TestBodies:
    @any_database
    @pytest.mark.parametrize(
        "content",
        [
            b'{"kind": "train"',
            b"not json",
            b'{"kind": "train", "learning_rate": NaN}',
            b'{"kind": "train", "learning_rate": -Infinity}',
            b'{"kind": "train", "metadata": {"a": "\\u0000"}}',
            b'{"kind": "train", "metadata": {"a": "\\ud800"}}',
            b"[" * 100_000,
            b"[" * 40 + b"]" * 40,
            b"\xff\xfe",
            b"1" * 5000,
            b'{"kind": "train", "learning_rate": 1e999}',
            b'{"kind": "train", "kind": "extract"}',
            b'{"kind": "train", "approach": {"name": "nemo", "name": "mwt"}}',
        ],
    )
    def test_unreadable(self, account: Account, content: bytes) -> None:
        headers = {"Content-Type": "application/json"}
        body = problem(account.http.post("/v1/jobs", content=content, headers=headers))
        assert (body["status"], body["code"]) == (400, "malformed_request")

    @any_database
    def test_too_large(self, account: Account) -> None:
        headers = {"Content-Type": "application/json"}
        content = b" " * (1 << 20) + b"{}"
        body = problem(account.http.post("/v1/jobs", content=content, headers=headers))
        assert (body["status"], body["code"]) == (413, "body_too_large")

    @any_database
    def test_too_large_without_a_declared_length(self, account: Account) -> None:
        headers = {"Content-Type": "application/json"}
        answer = account.http.post("/v1/jobs", content=(b" " * 65536 for _ in range(20)), headers=headers)
        assert problem(answer)["code"] == "body_too_large"

    @any_database
    def test_not_json(self, account: Account) -> None:
        body = problem(account.http.post("/v1/jobs", data={"kind": "train"}))
        assert (body["status"], body["code"]) == (415, "unsupported_media_type")

    @any_database
    def test_far_too_large_is_answered_and_the_connection_goes_on(self, account: Account) -> None:
        content = (b" " * 65536 for _ in range(512))
        headers = {"Content-Type": "application/json", "Content-Length": str(512 * 65536)}
        answer = account.http.post("/v1/jobs", content=content, headers=headers)
        assert problem(answer)["status"] == 413
        assert account.http.get("/v1/jobs").json()["data"] == []

    @pytest.mark.parametrize("framing", ["Content-Length: {longer}\r\n\r\n", "{chunked}\r\n\r\n{size:x}\r\n"])
    def test_cut_short_creates_nothing(self, api: Api, account: Account, framing: str) -> None:
        host, port = api.url.removeprefix("http://").split(":")
        content = json.dumps(TRAIN).encode()
        head = (
            f"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {account.key}\r\n"
            "Content-Type: application/json\r\n"
        ) + framing.format(longer=len(content) + 1, size=len(content), chunked="Transfer-Encoding: chunked")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(head.encode() + content)
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(10)
            while connection.recv(4096):
                pass
        assert account.http.get("/v1/jobs").json()["data"] == []

    def test_nul_in_path_and_query(self, account: Account) -> None:
        assert problem(account.http.get("/v1/models/a%00b"))["code"] == "malformed_request"
        assert problem(account.http.get("/v1/modules?class=a%00b"))["code"] == "malformed_request"


class TestValidation:
    @any_database
    @pytest.mark.parametrize(
        ("change", "code", "pointer", "item"),
        [
            ({"architecture": "resnet99"}, "unknown_architecture", "/architecture", "unknown_architecture"),
            ({"dataset": "imagenet"}, "unknown_dataset", "/dataset", "unknown_dataset"),
            ({"kind": "bake"}, "unknown_kind", "/kind", "unknown_kind"),
            ({"approach": {"name": "magic"}}, "unknown_approach", "/approach/name", "unknown_approach"),
            ({"epochs": -1}, "invalid_request", "/epochs", "greater_than_equal"),
            ({"epochs": "many"}, "invalid_request", "/epochs", "int_type"),
            ({"epochs": "1"}, "invalid_request", "/epochs", "int_type"),
            ({"epochs": True}, "invalid_request", "/epochs", "int_type"),
            ({"epochs": 1.0}, "invalid_request", "/epochs", "int_type"),
            ({"augment": 1}, "invalid_request", "/augment", "bool_type"),
            ({"learning_rate": "0.1"}, "invalid_request", "/learning_rate", "float_type"),
            ({"max_train_samples": 10_000_001}, "invalid_request", "/max_train_samples", "less_than_equal"),
            ({"max_train_samples": 9}, "invalid_request", "/max_train_samples", "greater_than_equal"),
            (
                {"approach": {"name": "nemo", "alpha": -1}},
                "invalid_request",
                "/approach/alpha",
                "greater_than_equal",
            ),
            ({"approach": {"alpha": 1}}, "invalid_request", "/approach/name", "missing"),
            ({"approach": "nemo"}, "invalid_request", "/approach", "dict_type"),
            ({"approach": None}, "invalid_request", "/approach", "dict_type"),
            (
                {"approach": {"name": "nemo", "recipe": "x"}},
                "invalid_request",
                "/approach/recipe",
                "unknown_value",
            ),
            ({"approach": {"name": "nemo", "beta": 1}}, "invalid_request", "/approach/beta", "unknown_field"),
            ({"colour": "red"}, "invalid_request", "/colour", "unknown_field"),
            ({"architecture": "vgg16"}, "invalid_request", "", "invalid"),
        ],
    )
    def test_codes_and_pointers(
        self, account: Account, change: dict[str, Any], code: str, pointer: str, item: str
    ) -> None:
        body = problem(account.http.post("/v1/jobs", json={**TRAIN, **change}))
        assert (body["status"], body["code"]) == (422, code)
        assert [(e["pointer"], e["code"], e["in"]) for e in body["errors"]] == [(pointer, item, "body")]
        assert "Extra inputs" not in body["detail"]

    @any_database
    @pytest.mark.parametrize(
        ("given", "told"),
        [
            ({**TRAIN, "approach": "nemo"}, "/approach: Input should be an object"),
            ({"architecture": "small_cnn"}, "/kind: Field required"),
            ({**TRAIN, "webhook_id": "mine"}, "/webhook_id: Input should be an id, such as GET answers with"),
        ],
    )
    def test_the_words_are_of_json(self, account: Account, given: dict[str, Any], told: str) -> None:
        assert problem(account.http.post("/v1/jobs", json=given))["detail"] == told

    def test_a_slash_too_many_is_another_path(self, account: Account) -> None:
        answer = account.http.get("/v1/models/", follow_redirects=False)
        assert (answer.status_code, problem(answer)["code"]) == (404, "not_found")

    @any_database
    def test_a_missing_field_has_a_pointer(self, account: Account) -> None:
        body = problem(account.http.post("/v1/jobs", json={"kind": "train", "dataset": "digits"}))
        assert [(e["pointer"], e["code"]) for e in body["errors"]] == [("/architecture", "missing")]

    @any_database
    def test_what_was_sent_is_not_repeated(self, account: Account) -> None:
        planted = "hunter2secret"
        for body in (
            {**TRAIN, "kind": planted},
            {**TRAIN, "architecture": planted},
            {**TRAIN, "seed": planted},
        ):
            assert planted not in account.http.post("/v1/jobs", json=body).text
