"""What a change of the OpenAPI document takes away from callers."""

from collections.abc import Iterator
from typing import Any

Document = dict[str, Any]


def breaks(old: Document, new: Document) -> list[str]:
    """What worked by the old document and may not by the new one, in words; empty when nothing does."""
    return [*_operations(old, new), *_schemas(old, new)]


def _operations(old: Document, new: Document) -> Iterator[str]:
    for path, methods in old["paths"].items():
        for method, before in methods.items():
            name, after = f"{method.upper()} {path}", new["paths"].get(path, {}).get(method)
            if after is None:
                yield f"{name} is gone"
                continue
            if after["operationId"] != before["operationId"]:
                yield f"{name}: operationId was {before['operationId']}"
            known, wanted = _parameters(before), _parameters(after)
            yield from (f"{name}: parameter {p} is gone" for p in known.keys() - wanted.keys())
            yield from (
                f"{name}: parameter {p} is required now"
                for p, required in wanted.items()
                if required and not known.get(p, False)
            )
            answers = {status for status in before["responses"] if status < "4"}
            yield from (f"{name}: status {s} is gone" for s in answers - set(after["responses"]))
            if _needs_body(after) and not _needs_body(before):
                yield f"{name}: a body is required now"


def _parameters(operation: Document) -> dict[str, bool]:
    """By place and name, whether it is required."""
    found = operation.get("parameters", [])
    return {f"{p['in']} {p['name']}": p.get("required", False) for p in found}


def _needs_body(operation: Document) -> bool:
    return bool(operation.get("requestBody", {}).get("required", False))


def _schemas(old: Document, new: Document) -> Iterator[str]:
    sent, told = _reachable(old, sent=True), _reachable(old, sent=False)
    for name, before in old["components"]["schemas"].items():
        after = new["components"]["schemas"].get(name)
        if after is None:
            continue  # whoever referred to it refers to another now, whose fields are compared where they are
        fields, now = before.get("properties", {}), after.get("properties", {})
        yield from (f"{name}: field {field} is gone" for field in fields.keys() - now.keys())
        if name in sent:
            new_needs = set(after.get("required", [])) - set(before.get("required", []))
            yield from (f"{name}: field {field} is required now" for field in new_needs)
            for field in fields.keys() & now.keys():
                gone = _values(fields[field]) - _values(now[field])
                if gone and _values(now[field]):
                    yield f"{name}.{field}: values {sorted(map(str, gone))} are gone"
        if name in told:
            lost = set(before.get("required", [])) - set(after.get("required", []))
            yield from (
                f"{name}: field {field} may be missing now" for field in lost & set(fields) & set(now)
            )


def _values(schema: Document) -> set[Any]:
    """The values of an enumeration, of the field or of its items; empty where it is none."""
    found = set(schema.get("enum", [])) | ({schema["const"]} if "const" in schema else set())
    for part in [*schema.get("anyOf", []), *([schema["items"]] if "items" in schema else [])]:
        found |= _values(part)
    return found


def _reachable(document: Document, *, sent: bool) -> set[str]:
    """Names of the schemas in what callers send, or in what they are told."""
    operations = [o for methods in document["paths"].values() for o in methods.values()]
    waiting: list[Any] = [o.get("requestBody") if sent else o["responses"] for o in operations]
    seen: set[str] = set()
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += node
        elif isinstance(node, dict):
            name = str(node.get("$ref", "")).rpartition("/schemas/")[2]
            if name in document["components"]["schemas"] and name not in seen:
                seen.add(name)
                waiting.append(document["components"]["schemas"][name])
            waiting += node.values()
    return seen
