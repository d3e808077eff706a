"""The OpenAPI document: problems instead of the framework's errors, and an example for every operation."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from service.platform.problems import MEDIA_TYPE, Problem

_REASONS = {
    400: "The request could not be read.",
    401: "No API key, or one that is unknown, expired or revoked.",
    403: "The link's signature does not fit.",
    404: "No such thing, or it belongs to another tenant.",
    409: "The state does not allow it.",
    410: "The link has expired.",
    412: "The content is not the one named by If-Match.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    416: "The range is outside the content.",
    422: "The request is not valid; `errors` says where.",
    429: "Too many of your jobs are waiting; see Retry-After.",
    500: "The service failed.",
    503: "A component does not answer; try again.",
    507: "The service has no room; free some, then go on.",
}
DIGEST_EXAMPLE = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

_EVERYWHERE = (400, 401, 422, 500, 503)
_WITH_BODY = (413, 415)
_PROBLEM_REF = {"$ref": "#/components/schemas/Problem"}

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
    return {status: _problem_response(status) for status in statuses}


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
    for path, operations in document["paths"].items():
        for operation in operations.values():
            _complete(operation, schemas, _common_errors(path, operation))
    return document


def _common_errors(path: str, operation: dict[str, Any]) -> tuple[int, ...]:
    """What any operation of this form can be answered with, beside what it declares itself."""
    if not path.startswith("/v1/"):
        return (500,)
    statuses = _EVERYWHERE + (_WITH_BODY if "requestBody" in operation else ())
    return (*statuses, 404) if "{" in path else statuses


def _complete(operation: dict[str, Any], schemas: dict[str, Any], errors: tuple[int, ...]) -> None:
    responses = operation["responses"]
    for status in errors:
        responses[str(status)] = _problem_response(status)
    if 422 not in errors:
        responses.pop("422", None)
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


def _problem_response(status: int) -> dict[str, Any]:
    return {"description": _REASONS[status], "content": {MEDIA_TYPE: {"schema": _PROBLEM_REF}}}
