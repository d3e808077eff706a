"""What the OpenAPI document says once for all operations: each error, by example, and links."""

from collections.abc import Iterator
from typing import Any

from service.platform.errors import ServiceError
from service.platform.problems import MEDIA_TYPE
from service.platform.validation import NAMED_VALUES

Document = dict[str, Any]

_REASONS = {
    400: "The request could not be read.",
    401: "No API key, or one that is unknown, expired or revoked.",
    403: "Known, but not allowed.",
    404: "No such thing, or it belongs to another tenant.",
    409: "The state does not allow it.",
    410: "The link has expired.",
    412: "The content is not the one named by If-Match.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    416: "The range is outside the content.",
    422: "The request is not valid; `errors` says where.",
    429: "Too much at a time; see Retry-After.",
    500: "The service failed.",
    503: "A component does not answer; try again.",
    507: "The service has no room; free some, then go on.",
}
# Reasons not to start are no answers of the API.
_NO_ANSWERS = frozenset({"service.processes"})


def problem_reference(status: int) -> Document:
    """The `responses` entry of an operation that can answer this error."""
    return {"$ref": f"#/components/responses/Problem{status}"}


def problem_responses() -> Document:
    """One response for each status of an error, with an example of each of its codes."""
    found: dict[int, Document] = {status: {} for status in _REASONS}
    for status, code, title, retryable in _codes():
        found[status][code] = {"value": _example(status, code, title, retryable)}
    return {
        f"Problem{status}": {
            "description": _REASONS[status],
            "content": {
                MEDIA_TYPE: {
                    "schema": {"$ref": "#/components/schemas/Problem"},
                    "examples": dict(sorted(examples.items())),
                }
            },
        }
        for status, examples in found.items()
    }


def _codes() -> Iterator[tuple[int, str, str, bool]]:
    """Status, code, title and whether to try again, of every error that the API can answer."""
    for kind in _kinds(ServiceError):
        if kind.__module__ not in _NO_ANSWERS and kind.status in _REASONS:
            yield kind.status, kind.code, kind.title, kind.retryable
    for code in NAMED_VALUES.values():
        yield 422, code, "The request is not valid", False


def _kinds(kind: type[ServiceError]) -> Iterator[type[ServiceError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _kinds(child)


def _example(status: int, code: str, title: str, retryable: bool) -> Document:
    return {
        "type": f"urn:cleave:problem:{code}",
        "title": title,
        "status": status,
        "detail": f"{title}.",
        "code": code,
        "instance": "/v1/jobs",
        "request_id": "req_019b3c5e7a907b3e8f5d2c1a4b6d8e0f",
        "retryable": retryable,
        "errors": [],
    }


def add_links(document: Document) -> None:
    """Link each answer of a creating POST to the operations on what was created."""
    links: Document = {}
    for path, operations in document["paths"].items():
        if "post" not in operations:
            continue
        place = _place_of_id(operations["post"], document["components"]["schemas"])
        targets = dict(_operations_below(path, document["paths"]))
        if place is None or not targets:
            continue
        for operation_id, name in targets.items():
            parameters = {p: f"$request.path.{p}" for p in _parameters(path)}
            parameters[name] = f"$response.body#{place}"
            links[operation_id] = {"operationId": operation_id, "parameters": parameters}
        for status, response in operations["post"]["responses"].items():
            if status.startswith("2"):
                response["links"] = {name: {"$ref": f"#/components/links/{name}"} for name in targets}
    document["components"]["links"] = links


def _operations_below(path: str, paths: Document) -> Iterator[tuple[str, str]]:
    """The operations whose path needs exactly one id more, and the parameter's name."""
    for other, operations in paths.items():
        added = _parameters(other)[len(_parameters(path)) :]
        if other.startswith(f"{path}/{{") and len(added) == 1:
            for operation in operations.values():
                yield operation["operationId"], added[0]


def _parameters(path: str) -> list[str]:
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]


def _place_of_id(operation: Document, schemas: Document) -> str | None:
    """JSON pointer to the new thing's id in an answer; None where there is none."""
    for status, response in operation["responses"].items():
        schema = response.get("content", {}).get("application/json", {}).get("schema", {})
        if status.startswith("2") and "$ref" in schema:
            properties = schemas[schema["$ref"].rpartition("/")[2]].get("properties", {})
            if "id" in properties:
                return "/id"
            # An answer that has the new thing beside its job.
            return next((f"/{name}/id" for name in properties if name == "composition"), None)
    return None
