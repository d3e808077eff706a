"""The HTTP contract: the committed document, its completeness, and the codes it promises."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from service.openapi import document
from service.platform.problems import FRAMEWORK_CODES, Problem
from service.platform.validation import NAMED_VALUES
from service.spec_tables import tables

ROOT = Path(__file__).parents[2]
SLICES = (
    "jobs",
    "datasets",
    "uploads",
    "models",
    "modules",
    "compositions",
    "artifacts",
    "operation",
    "architectures",
    "classes",
    "workers",
    "webhooks",
    "api_keys",
    "audit_events",
    "usage",
)


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    return document()


def operations(described: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def parts(operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What an operation takes and gives that an example can show: path, body, answers that are no errors."""
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "path":
            yield parameter["name"], parameter
    for where, part in (operation["responses"] | {"body": operation.get("requestBody", {})}).items():
        for kind, media in part.get("content", {}).items():
            if media.get("schema", {}).get("format") != "binary":
                yield f"{where} {kind}", media


def examples_of(part: dict[str, Any]) -> list[Any]:
    given = [example["value"] for example in part.get("examples", {}).values()]
    return given + ([part["example"]] if "example" in part else [])


class TestDocument:
    def test_the_committed_copy_is_current(self, described: dict[str, Any]) -> None:
        committed = json.loads((ROOT / "docs" / "openapi.json").read_text())
        assert committed == described, "run: python -m service.openapi > docs/openapi.json"

    def test_the_tables_of_the_specs_are_current(self) -> None:
        assert (ROOT / "docs" / "specs.md").read_text() == tables(), "run: make openapi"

    def test_operation_ids_are_slice_and_verb(self, described: dict[str, Any]) -> None:
        ids = [operation["operationId"] for _, operation in operations(described)]
        assert len(ids) == len(set(ids))
        assert [i for i in ids if not re.fullmatch(rf"({'|'.join(SLICES)})_[a-z_]+", i)] == []

    def test_each_operation_says_what_it_does(self, described: dict[str, Any]) -> None:
        assert [
            name for name, o in operations(described) if not (o.get("tags") and o.get("description"))
        ] == []

    def test_each_operation_has_an_example_of_all_that_is_text(self, described: dict[str, Any]) -> None:
        """Of its body, of each answer, and of what stands in its path. Errors have theirs in `components`."""
        missing = [
            f"{name} {where}"
            for name, operation in operations(described)
            for where, part in parts(operation)
            if not examples_of(part)
        ]
        assert missing == []

    def test_each_example_is_what_it_is_an_example_of(self, described: dict[str, Any]) -> None:
        components, wrong = described["components"], []
        told = [(name, *part) for name, operation in operations(described) for part in parts(operation)]
        told += [
            ("components", name, media)
            for name, response in components["responses"].items()
            for media in response["content"].values()
        ]
        for name, where, part in told:
            validator = jsonschema_rs.validator_for({"components": components, **part.get("schema", {})})
            for example in examples_of(part):
                wrong += [f"{name} {where}: {error.message}" for error in validator.iter_errors(example)]
        assert wrong == []

    def test_every_error_is_a_problem(self, described: dict[str, Any]) -> None:
        for name, operation in operations(described):
            errors = {s: r for s, r in operation["responses"].items() if s[0] in "45"}
            assert "500" in errors, name
            for status, response in errors.items():
                assert response == {"$ref": f"#/components/responses/Problem{status}"}, f"{name} {status}"
            if "/v1/" in name:
                assert {"401", "422"} <= set(errors), name
            if "{" in name:
                assert "404" in errors, name

    def test_every_code_of_an_error_has_an_example(self, described: dict[str, Any]) -> None:
        shown = {}
        for response in described["components"]["responses"].values():
            (media,) = response["content"].values()
            for code, example in media["examples"].items():
                assert Problem.model_validate(example["value"]).code == code
                shown[code] = example["value"]["status"]
        rows = re.findall(r"^\| `([a-z_]+)` \| (\d+) \|", (ROOT / "docs" / "errors.md").read_text(), re.M)
        assert shown == {code: int(status) for code, status in rows}

    def test_what_is_created_links_to_what_can_be_done_with_it(self, described: dict[str, Any]) -> None:
        def below(path: str) -> dict[str, Any]:
            inner = re.compile(re.escape(path) + r"/\{\w+\}(/[a-z_]+)*")
            return {other: methods for other, methods in described["paths"].items() if inner.fullmatch(other)}

        for path, methods in described["paths"].items():
            if "post" not in methods or not below(path):
                continue
            answers = json.dumps(methods["post"]["responses"])
            made = "/v1/jobs" if "JobRead" in answers else path
            for status, answer in methods["post"]["responses"].items():
                wanted = {
                    o["operationId"] for operations in below(made).values() for o in operations.values()
                }
                assert status >= "4" or set(answer["links"]) >= wanted, path

    def test_the_framework_s_own_errors_are_gone(self, described: dict[str, Any]) -> None:
        assert "HTTPValidationError" not in json.dumps(described)


class TestCodes:
    def test_every_code_in_the_sources_is_documented(self) -> None:
        documented = set(re.findall(r"`([a-z_]+)`", (ROOT / "docs" / "errors.md").read_text()))
        used = {code for folder in ("core", "service", "worker") for code in codes_in(ROOT / folder)}
        used |= set(FRAMEWORK_CODES.values()) | set(NAMED_VALUES.values())
        assert {"port_in_use", "class_not_in_model", "unauthorized", "invalid_cursor"} <= used
        assert used - documented == set()


def codes_in(folder: Path) -> Iterator[str]:
    """String literals that the sources assign to, pass as or store under the name `code`."""
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            yield from (text for text in _codes_of(node) if text)


def _codes_of(node: ast.AST) -> Iterator[str | None]:
    if isinstance(node, ast.Assign):
        for target in node.targets:
            names = target.elts if isinstance(target, ast.Tuple) else [target]
            values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
            for name, value in zip(names, values, strict=False):
                if isinstance(name, ast.Name) and name.id == "code":
                    yield _text(value)
    elif isinstance(node, ast.keyword) and node.arg == "code":
        yield _text(node.value)
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and key.value == "code":
                yield _text(value)


def _text(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
