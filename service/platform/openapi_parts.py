"""What the OpenAPI document says once for all operations: each error, by example, and links."""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from service.platform.errors import ServiceError
from service.platform.problems import FRAMEWORK_CODES, MEDIA_TYPE
from service.platform.validation import NAMED_VALUES

Document = dict[str, Any]

_REASONS = {
    400: "The request could not be read.",
    401: "No API key, or one that is unknown, expired or revoked.",
    403: "Known, but not allowed.",
    404: "No such thing, or it belongs to another tenant.",
    405: "The path has other methods; see Allow.",
    406: "None of the forms in Accept can be had.",
    409: "The state does not allow it.",
    410: "The link has expired.",
    412: "The content is not the one named by If-Match.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    416: "The range is outside the content.",
    422: "The request is not valid; `errors` says where.",
    429: "Too much at a time; see Retry-After.",
    431: "The headers are too large.",
    500: "The service failed.",
    503: "A component does not answer; try again.",
    507: "The service has no room; free some, then go on.",
}
_JOBS = "/v1/jobs"
_UUID = "019b3c5e6f117c5a9d3e4b2a1c0f8e7d"
# What stands in a path, by the name of its parameter.
_IN_PATHS = {
    "alias": "champion",
    "artifact_id": f"art_{_UUID}",
    "composition_id": f"cmp_{_UUID}",
    "dataset_id": f"ds_{_UUID}",
    "delivery_id": f"dlv_{_UUID}",
    "job_id": f"job_{_UUID}",
    "key_id": f"key_{_UUID}",
    "model_id": f"mdl_{_UUID}",
    "module_id": f"mod_{_UUID}",
    "name": "digits",
    "number": 1,
    "upload_id": f"upl_{_UUID}",
    "webhook_id": f"whk_{_UUID}",
}
# What a parameter means that says nothing itself, as it means the same wherever it stands.
_MEANINGS = {
    "alias": "The word behind the @.",
    "approach": "The training method of its model.",
    "architecture": "The network family of its model.",
    "created_at[gte]": "Not before this moment.",
    "created_at[lt]": "Before this moment.",
    "dataset": "The data its model was trained on: a name, which means all its versions, or an id.",
    "form": "How it applies its masks: gated or static.",
    "if-none-match": "The ETag of the answer that the caller has; if it is the same still, 304.",
    "key_id": "The key that asked.",
    "kind": "What the job does: train, extract, compose, evaluate, sweep, or an import.",
    "limit": "Items per page.",
    "model_id": "The model's id, or `name@alias`, `name@version`, `name@latest`.",
    "name": "Only the figure of this name.",
    "operation": "The operationId, or the command.",
    "parameters[lte]": "At most so many parameters.",
    "ready": "Whether it is built.",
    "recipe": "The recipe its model was trained in: cleave or published.",
    "sort": "What the list is in order of; with `-` the largest or newest first.",
    "state": "Only those in this state.",
}
# Reasons not to start are no answers of the API.
_NO_ANSWERS = frozenset({"service.processes"})


def problem_reference(status: int) -> Document:
    """The `responses` entry of an operation that can answer this error."""
    return {"$ref": f"#/components/responses/Problem{status}"}


def add_next_link(response: Document) -> None:
    """What a list says beside its body; event streams are none."""
    if "application/json" in response.get("content", {}):
        described = 'Where there is a next page, `<?...>; rel="next"`, relative to the URL that was asked.'
        response["headers"] = {"Link": {"description": described, "schema": {"type": "string"}}}


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
    for status, code in FRAMEWORK_CODES.items():  # first: where one of ours has the same code, it says more
        yield status, code, HTTPStatus(status).phrase, False
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


def explain_parameters(operation: Document) -> None:
    """An example of each part of the path that stands for something; and what each parameter means."""
    for parameter in operation.get("parameters", []):
        if "description" not in parameter:
            kind, is_id, _ = parameter["name"].partition("_id")
            meaning = f"The {kind}'s id." if is_id else ""
            parameter["description"] = _MEANINGS.get(parameter["name"], meaning)
        if parameter["in"] == "path" and parameter["name"] in _IN_PATHS:
            parameter["example"] = _IN_PATHS[parameter["name"]]


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
        if _answers_a_job(operations["post"]):  # what there will be has no id yet
            targets = dict(_operations_below(_JOBS, document["paths"]))
        for operation_id, name in targets.items():
            parameters = {p: f"$request.path.{p}" for p in _parameters(path)}
            parameters[name] = f"$response.body#{place}"
            links[operation_id] = {"operationId": operation_id, "parameters": parameters}
        for status, response in operations["post"]["responses"].items():
            if status.startswith("2"):
                response["links"] = {name: {"$ref": f"#/components/links/{name}"} for name in targets}
    document["components"]["links"] = links


def _answers_a_job(operation: Document) -> bool:
    answer = operation["responses"].get("202", {}).get("content", {}).get("application/json", {})
    return str(answer.get("schema", {}).get("$ref", "")).endswith("/JobRead")


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
