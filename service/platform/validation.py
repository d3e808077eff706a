"""Validation errors in the caller's terms: where in the document, a stable code, no echo of what was sent."""

from typing import Any

from fastapi.exceptions import RequestValidationError

# Pydantic's own name is the code, except where ours says it better.
_CODES = {
    "literal_error": "unknown_value",
    "enum": "unknown_value",
    "union_tag_invalid": "unknown_value",
    "union_tag_not_found": "missing",
    "extra_forbidden": "unknown_field",
    "value_error": "invalid",
    "assertion_error": "invalid",
}
# Fields whose unknown values have a code of their own.
NAMED_VALUES = {
    "/architecture": "unknown_architecture",
    "/dataset": "unknown_dataset",
    "/kind": "unknown_kind",
    "/approach/name": "unknown_approach",
}


def describe_errors(error: RequestValidationError) -> list[dict[str, Any]]:
    """One entry for each thing that is wrong, in the order found."""
    return [_describe(item, error.body) for item in error.errors()]


def summarise(errors: list[dict[str, Any]]) -> str:
    """One sentence for a person."""
    first = errors[0]
    more = f" ({len(errors) - 1} more in `errors`)" if len(errors) > 1 else ""
    return f"{first['pointer'] or 'the body'}: {first['message']}{more}"


def headline_code(errors: list[dict[str, Any]]) -> str | None:
    """The code for the whole answer, when one unknown name is all that is wrong."""
    codes = [error["code"] for error in errors]
    return codes[0] if len(codes) == 1 and codes[0] in NAMED_VALUES.values() else None


def _describe(item: dict[str, Any], body: Any) -> dict[str, Any]:
    place, *path = item["loc"]
    pointer = _pointer(path, item["type"], body) if place == "body" else f"/{path[-1]}" if path else ""
    if item["type"].startswith("union_tag"):
        pointer += "/" + item["ctx"]["discriminator"].strip("'")
    code = _CODES.get(item["type"], item["type"])
    if code == "unknown_value":
        code = NAMED_VALUES.get(pointer, code)
    return {"pointer": pointer, "code": code, "message": _message(item), "in": place}


def _pointer(path: list[Any], kind: str, body: Any) -> str:
    """JSON pointer of an error, without the tags of unions that pydantic puts into the path."""
    parts: list[str] = []
    here = body
    for index, step in enumerate(path):
        inside_list = isinstance(here, list) and isinstance(step, int) and step < len(here)
        if inside_list or (isinstance(here, dict) and step in here):
            here = here[step]
        elif not (kind == "missing" and index == len(path) - 1):
            continue
        parts.append(str(step).replace("~", "~0").replace("/", "~1"))
    return "".join(f"/{part}" for part in parts)


def _message(item: dict[str, Any]) -> str:
    """Pydantic's sentence, except where it repeats the caller's value."""
    if item["type"] == "union_tag_invalid":
        return f"must be one of {item['ctx']['expected_tags']}"
    return str(item["msg"]).removeprefix("Value error, ")
