"""The page at /docs: the whole document, and nothing that needs another host."""

import re

import pytest

from service.platform.reference import page
from tests.fixtures.client import Api, any_database


@pytest.fixture
def shown(api: Api) -> str:
    with api.client() as http:
        answer = http.get("/docs")
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    return answer.text


@any_database
def test_every_operation_and_field_is_there(api: Api, shown: str) -> None:
    document = api.app.openapi()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert f"<b>{method.upper()}</b> <code>{path}</code>" in shown
            assert f'id="{operation["operationId"]}"' in shown
    for field in document["components"]["schemas"]["TrainSpec"]["properties"]:
        assert f"<td>{field}</td>" in shown


@any_database
def test_every_operation_and_parameter_says_what_it_is(api: Api, shown: str) -> None:
    for path, methods in api.app.openapi()["paths"].items():
        for operation in methods.values():
            assert operation["description"], path
            for parameter in operation.get("parameters", []):
                assert parameter["description"], (path, parameter["name"])
    assert "<small>Accept a job</small>" in shown


@any_database
def test_what_says_nothing_is_left_out(shown: str) -> None:
    assert "Successful Response" not in shown
    assert "e+18" not in shown


@any_database
def test_it_loads_and_runs_nothing(shown: str) -> None:
    assert not re.search(r"<script|<link|<img|<iframe|@import|url\(|\son\w+=", shown)
    assert set(re.findall(r'(?:src|href)="([^"#][^"]*)"', shown)) == {"openapi.json"}


@any_database
def test_each_link_has_a_target(shown: str) -> None:
    targets = set(re.findall(r'href="#([^"]+)"', shown))
    assert "TrainSpec" in targets
    assert targets <= set(re.findall(r'id="([^"]+)"', shown))


def test_no_text_of_the_document_is_markup() -> None:
    planted = "<b>x</b> & `<i>`"
    get = {"operationId": "a_b", "tags": ["t"], "description": planted, "responses": {}}
    schema = {"description": planted, "properties": {"f": {"type": "string", "default": "<u>"}}}
    document = {
        "info": {"title": "<T>", "version": "1", "description": planted},
        "tags": [{"name": "t", "description": planted}],
        "paths": {"/<p>": {"get": get}},
        "components": {"schemas": {"S": schema}},
    }
    html = page(document)
    assert not re.search(r"<b>x|<i>|<u>|<T>|<p>\W*</code>", html)
    assert html.count("&lt;b&gt;x&lt;/b&gt; &amp; <code>&lt;i&gt;</code>") == 5
