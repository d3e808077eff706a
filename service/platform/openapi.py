"""The OpenAPI document: problems instead of the framework's errors, and an example for every operation."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from service.platform.openapi_parts import (
    add_links,
    add_next_link,
    explain_parameters,
    problem_reference,
    problem_responses,
)
from service.platform.problems import Problem
from service.platform.scopes import scope_for

DIGEST_EXAMPLE = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

_EVERYWHERE = (400, 401, 422, 431, 500, 503)
_WITH_BODY = (413, 415)

DESCRIPTION = """\
Cleave trains neural networks that come apart into modules, one per class, keeps the modules, and composes
them on request.

The way through: `POST /v1/jobs` with kind `train` gives a model; kind `extract` cuts it into modules;
`POST /v1/compositions` with a list of classes joins modules into one classifier;
`GET /v1/artifacts/{id}/content` downloads it. Long work is a job: the answer is `202` with a `Location`;
follow it at `/v1/jobs/{id}/events/stream`.

Errors are RFC 9457 problem documents with a stable `code`. Lists are paged by `limit` and `after`.
Authenticate with `Authorization: Bearer cleave_...`.
"""


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` entry of an operation that can also answer these errors."""
    return {status: {"description": "replaced by the one for all operations"} for status in statuses}


def binary_response(description: str, media_type: str = "application/octet-stream") -> dict[str, Any]:
    """The `responses` entry of a download."""
    return {
        "description": description,
        "content": {media_type: {"schema": {"type": "string", "format": "binary"}}},
    }


def install(app: FastAPI) -> None:
    """Serve our document in place of the generated one."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = build(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # the documented way to replace it


def build(app: FastAPI) -> dict[str, Any]:
    """The document for the routes as they are now."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=app.openapi_tags,
    )
    schemas: dict[str, Any] = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    definition = Problem.model_json_schema(ref_template="#/components/schemas/{model}", mode="serialization")
    schemas.update(definition.pop("$defs"))
    schemas["Problem"] = definition
    for schema in schemas.values():
        _require_discriminators(schema, schemas)
        _close_patterns(schema)
        if "examples" in schema:
            schema["examples"] = [_with_nulls(example, schema, schemas) for example in schema["examples"]]
    _require_discriminators(document["paths"], schemas)
    document["components"]["responses"] = problem_responses()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _declare_scope(method, operation)
            _complete(operation, schemas, _common_errors(path, operation))
            explain_parameters(operation)
    add_links(document)
    return document


def _with_nulls(example: Any, schema: dict[str, Any], schemas: dict[str, Any]) -> Any:
    """The example with its fields that are null, which the framework leaves out of the document."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    choices = [choice for choice in schema.get("anyOf", []) if choice.get("type") != "null"]
    if len(choices) == 1:
        return _with_nulls(example, choices[0], schemas)
    if isinstance(example, list):
        return [_with_nulls(item, schema.get("items", {}), schemas) for item in example]
    if not isinstance(example, dict):
        return example
    fields = schema.get("properties", {})
    absent = {
        name: None for name in schema.get("required", []) if {"type": "null"} in fields[name].get("anyOf", [])
    }
    return absent | {name: _with_nulls(item, fields.get(name, {}), schemas) for name, item in example.items()}


def _require_discriminators(node: Any, schemas: dict[str, Any]) -> None:
    """A field that tells kinds apart must be sent, although each kind has it as a default."""
    if isinstance(node, list):
        for item in node:
            _require_discriminators(item, schemas)
    elif isinstance(node, dict):
        told = node.get("discriminator")
        if isinstance(told, dict):
            for reference in told["mapping"].values():
                kind = schemas[reference.rpartition("/")[2]]
                kind["required"] = sorted({*kind.get("required", []), told["propertyName"]})
        for item in node.values():
            _require_discriminators(item, schemas)


def _close_patterns(node: Any) -> None:
    """Keys that must match a pattern: pydantic refuses all others, and its schema does not say so."""
    if isinstance(node, list):
        for item in node:
            _close_patterns(item)
    elif isinstance(node, dict):
        if "patternProperties" in node:
            node.setdefault("additionalProperties", False)
        for item in node.values():
            _close_patterns(item)


def _declare_scope(method: str, operation: dict[str, Any]) -> None:
    """Name the scope that a key must have; OpenAPI 3.1 takes role names for any kind of security."""
    if "security" in operation:
        scope = scope_for(operation["operationId"], method.upper())
        operation["security"] = [{name: [scope.value] for name in way} for way in operation["security"]]


def _common_errors(path: str, operation: dict[str, Any]) -> tuple[int, ...]:
    """What any operation of this form can be answered with, beside what it declares itself."""
    if not path.startswith("/v1/"):
        return (500,)
    statuses = _EVERYWHERE + ((403, 429) if "security" in operation else ())
    statuses += _WITH_BODY if "requestBody" in operation else ()
    return (*statuses, 404) if "{" in path else statuses


def _complete(operation: dict[str, Any], schemas: dict[str, Any], errors: tuple[int, ...]) -> None:
    responses = operation["responses"]
    for status in errors:
        responses[str(status)] = {}
    if 422 not in errors:
        responses.pop("422", None)
    for status in responses:
        if status >= "4":
            responses[status] = problem_reference(int(status))
    if any(parameter["name"] == "after" for parameter in operation.get("parameters", [])):
        add_next_link(responses["200"])
    bodies = [operation.get("requestBody", {})]
    bodies += [response for status, response in responses.items() if status.startswith("2")]
    for body in bodies:
        media = body.get("content", {}).get("application/json")
        if media and not {"example", "examples"} & set(media):
            example = _example(media.get("schema", {}), schemas)
            if example is not None:
                media["example"] = example


def _example(schema: dict[str, Any], schemas: dict[str, Any]) -> Any:
    """The example that a schema brings, or for a list the page made of its item's example."""
    definition = schemas.get(str(schema.get("$ref", "")).rpartition("/")[2], schema)
    if definition.get("examples"):
        return definition["examples"][0]
    items = definition.get("properties", {}).get("data", {}).get("items")
    item = _example(items, schemas) if items else None
    return None if item is None else {"data": [item], "has_more": False, "next_cursor": None}
