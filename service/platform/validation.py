"""Validation errors in the caller's terms: where in the document, a stable code, no echo of what was sent."""

from typing import Any

from fastapi.exceptions import RequestValidationError

from core.specs import IDENTIFIER, REFERENCE

# A body can be wrong in as many places as it has fields; nobody reads so many.
MAX_ERRORS = 100
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


# Python's words for what is of JSON, and expressions for what has a name.
_MESSAGES = {
    "union_tag_not_found": "Field required",
    "dict_type": "Input should be an object",
    "model_type": "Input should be an object",
    "model_attributes_type": "Input should be an object",
}
_PATTERNS = {
    IDENTIFIER: "Input should be an id, such as GET answers with",
    REFERENCE: "Input should be an id, or name@alias, name@version or name@latest of a model",
}


def describe_errors(error: RequestValidationError) -> tuple[list[dict[str, Any]], int]:
    """One entry for each of the first things that are wrong, in the order found; and how many there are."""
    found = error.errors()
    return [_describe(item, error.body) for item in found[:MAX_ERRORS]], len(found)


def summarise(errors: list[dict[str, Any]], total: int) -> str:
    """One sentence for a person."""
    first = errors[0]
    more = f" ({len(errors) - 1} more in `errors`)" if len(errors) > 1 else ""
    left_out = f" ({total - len(errors)} left out of `errors`)" if total > len(errors) else ""
    return f"{first['pointer'] or 'the body'}: {first['message']}{more}{left_out}"


def headline_code(errors: list[dict[str, Any]]) -> str | None:
    """The code for the whole answer, when one unknown name is all that is wrong."""
    codes = [error["code"] for error in errors]
    return codes[0] if len(codes) == 1 and codes[0] in NAMED_VALUES.values() else None


def _describe(item: dict[str, Any], body: Any) -> dict[str, Any]:
    place, *path = item["loc"]
    pointer = _pointer(path, item["type"], body) if place == "body" else _joined(path)
    if item["type"].startswith("union_tag"):
        pointer += "/" + item["ctx"]["discriminator"].strip("'")
    code = _CODES.get(item["type"], item["type"])
    if code == "unknown_value":
        code = NAMED_VALUES.get(pointer, code)
    return {"pointer": pointer, "code": code, "message": _message(item), "in": place}


def _pointer(path: list[Any], kind: str, body: Any) -> str:
    """JSON pointer of an error, without the tags of unions that pydantic puts into the path."""
    parts: list[Any] = []
    here = body
    for index, step in enumerate(path):
        inside_list = isinstance(here, list) and isinstance(step, int) and step < len(here)
        if inside_list or (isinstance(here, dict) and step in here):
            here = here[step]
        elif not (kind == "missing" and index == len(path) - 1):
            continue
        parts.append(step)
    return _joined(parts)


def _joined(steps: list[Any]) -> str:
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


def _message(item: dict[str, Any]) -> str:
    """Pydantic's sentence, except where it repeats the caller's value or speaks of Python."""
    ours = _MESSAGES.get(item["type"]) or _PATTERNS.get(item.get("ctx", {}).get("pattern"))
    if ours is not None:
        return ours
    if item["type"] == "union_tag_invalid":
        return f"must be one of {item['ctx']['expected_tags']}"
    if item["msg"] == "Extra inputs are not permitted":
        return "There is no such field; /docs lists those there are"
    return str(item["msg"]).removeprefix("Value error, ")
