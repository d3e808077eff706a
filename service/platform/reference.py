"""The page at /docs: the OpenAPI document as plain HTML, complete without scripts and without a network."""

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

Document = Mapping[str, Any]

# Nothing may be loaded or run, whatever a description holds.
HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"}
_LONGEST_DEFAULT = 60
_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font: 14px/1.4 ui-monospace, monospace; }
pre { overflow-x: auto; padding: .6rem; background: #8882; border-radius: 4px; }
details { border-bottom: 1px solid #8884; }
details > div { padding: 0 0 1rem 1rem; }
summary { cursor: pointer; padding: .3rem 0; }
summary b { display: inline-block; min-width: 4.2rem; }
table { border-collapse: collapse; }
td, th { text-align: left; vertical-align: top; padding: .15rem .8rem .15rem 0; }
"""


def page(document: Document) -> str:
    """The whole document as one page; each operation and schema unfolds on a click."""
    schemas: Document = document["components"]["schemas"]
    info = document["info"]
    paragraphs = "".join(f"<p>{_text(part)}</p>" for part in info["description"].strip().split("\n\n"))
    sections = "".join(_section(tag, document) for tag in document["tags"])
    types = "".join(_fold(f"<code>{escape(name)}</code>", _schema(s), name) for name, s in schemas.items())
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(info['title'])} API</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>{paragraphs}"
        '<p>The same for programs: <a href="openapi.json">openapi.json</a>.</p>'
        f"{sections}<h2>schemas</h2>{types}</body></html>"
    )


def _section(tag: Document, document: Document) -> str:
    found = [
        _operation(*entry, document) for entry in _operations(document) if tag["name"] in entry[2]["tags"]
    ]
    return f"<h2>{escape(tag['name'])}</h2><p>{_text(tag['description'])}</p>{''.join(found)}"


def _operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def _operation(method: str, path: str, operation: Document, document: Document) -> str:
    parameters = [
        (escape(p["name"]), p["in"], _type(p["schema"]), _text(p.get("description", "")))
        for p in operation.get("parameters", [])
    ]
    parts = [
        f"<p>{_text(operation.get('description', ''))}</p>",
        _table(("parameter", "in", "type", ""), parameters),
        *(_content("body", media) for media in operation.get("requestBody", {}).get("content", {}).values()),
    ]
    for status, response in operation["responses"].items():
        if "$ref" in response:  # an error: its form is told once, its codes are in docs/errors.md
            shared = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
            parts.append(_content(f"{status}: {_text(shared['description'])}", {}))
            continue
        media: Document = next(iter(response.get("content", {}).values()), {})
        parts.append(_content(f"{status}: {_text(response['description'])}", media))
    return _fold(f"<b>{method}</b> <code>{escape(path)}</code>", "".join(parts), operation["operationId"])


def _content(title: str, media: Document) -> str:
    """A body or an answer: its type, and what it looks like."""
    examples = [example["value"] for example in media.get("examples", {}).values()]
    examples += [media["example"]] if "example" in media else []
    shown = "".join(f"<pre>{escape(json.dumps(e, indent=2, ensure_ascii=False))}</pre>" for e in examples)
    return f"<h4>{title} {_type(media['schema']) if 'schema' in media else ''}</h4>{shown}"


def _schema(schema: Document) -> str:
    required = schema.get("required", [])
    rows = [
        (escape(name), _type(field), _default(name, field, required), _text(field.get("description", "")))
        for name, field in schema.get("properties", {}).items()
    ]
    about = f"<p>{_text(schema.get('description', ''))}</p>"
    return about + (_table(("field", "type", "default", ""), rows) if rows else _type(schema))


def _default(name: str, field: Document, required: list[str]) -> str:
    if name in required:
        return "required"
    text = json.dumps(field["default"]) if "default" in field else ""
    return escape(text) if len(text) <= _LONGEST_DEFAULT else "..."


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells are HTML already."""
    if not rows:
        return ""
    head = "".join(f"<th>{name}</th>" for name in heads)
    lines = ("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{''.join(lines)}</table>"


def _type(schema: Document) -> str:
    """A schema in a few words; those with a name are links."""
    return f"<code>{_type_text(schema)}</code>"


def _type_text(schema: Document) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return " | ".join(_type_text(option) for option in schema[choice])
    if "enum" in schema or "const" in schema:
        return " | ".join(escape(json.dumps(v)) for v in schema.get("enum", [schema.get("const")]))
    kind = escape(str(schema.get("type", "any")))
    return f"{kind} of {_type_text(schema['items'])}" if "items" in schema else kind + _bounds(schema)


def _bounds(schema: Document) -> str:
    names = {"minimum": "&ge;", "exclusiveMinimum": "&gt;", "maximum": "&le;", "exclusiveMaximum": "&lt;"}
    told = [f"{sign} {schema[name]:.10g}" for name, sign in names.items() if name in schema]
    return f" {', '.join(told)}" if told else ""


def _fold(head: str, content: str, anchor: str) -> str:
    # The anchor is inside: a browser that follows a link opens what holds its target.
    return f'<details><summary>{head}</summary><div id="{escape(anchor)}">{content}</div></details>'


def _text(text: str) -> str:
    """Escaped, with `code` as code: all the markup our descriptions use."""
    parts = escape(" ".join(text.split())).split("`")
    if len(parts) % 2 == 0:
        return "`".join(parts)
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))
