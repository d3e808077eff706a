"""The page at /docs: the OpenAPI document as plain HTML, complete without scripts and without a network."""

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

Document = Mapping[str, Any]

# Nothing may be loaded or run, whatever a description holds.
HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"}
_LONGEST_DEFAULT = 60
# The framework's word for an answer that nothing else is told of.
_SAYS_NOTHING = "Successful Response"
# From here on a bound is what a column holds, and says nothing to a caller.
_BOUNDLESS = 2**53
_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font: 14px/1.4 ui-monospace, monospace; }
pre { overflow: auto; max-height: 28rem; padding: .6rem; background: #8882; border-radius: 4px; }
details { border-bottom: 1px solid #8884; }
details > div { padding: 0 0 1rem 1rem; scroll-margin-top: 4rem; }
summary { cursor: pointer; padding: .3rem 0; }
summary b { display: inline-block; min-width: 4.2rem; }
table { border-collapse: collapse; }
td, th { text-align: left; vertical-align: top; padding: .15rem .8rem .15rem 0; }
small { opacity: .75; margin-left: .5rem; }
nav a { margin-right: .8rem; }
@media (max-width: 45rem) {
  table, tbody, tr, td { display: block; overflow-wrap: anywhere; }
  tr { padding: .3rem 0; }
  tr:has(th) { display: none; }
  td:first-child { font-weight: bold; }
  small { display: block; margin: 0 0 0 1rem; }
}
"""


def page(document: Document) -> str:
    """The whole document as one page; each operation and schema unfolds on a click."""
    schemas: Document = document["components"]["schemas"]
    info = document["info"]
    paragraphs = "".join(f"<p>{_text(part)}</p>" for part in info["description"].strip().split("\n\n"))
    sections = "".join(_section(tag, document) for tag in document["tags"])
    names = [*(tag["name"] for tag in document["tags"]), "schemas"]
    links = " ".join(f'<a href="#{escape(name)}">{escape(name)}</a>' for name in names)
    types = "".join(_fold(f"<code>{escape(name)}</code>", _schema(s), name) for name, s in schemas.items())
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(info['title'])} API</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>{paragraphs}"
        '<p>The same for programs: <a href="openapi.json">openapi.json</a>.</p>'
        f'<nav>{links}</nav>{sections}<h2 id="schemas">schemas</h2>{types}</body></html>'
    )


def _section(tag: Document, document: Document) -> str:
    found = [
        _operation(*entry, document) for entry in _operations(document) if tag["name"] in entry[2]["tags"]
    ]
    name = escape(tag["name"])
    return f'<h2 id="{name}">{name}</h2><p>{_text(tag["description"])}</p>' + "".join(found)


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
        said = response["description"]
        title = status if said == _SAYS_NOTHING else f"{status}: {_text(said)}"
        parts.append(_content(title, media))
    head = f"<b>{method}</b> <code>{escape(path)}</code> <small>{_gist(operation)}</small>"
    return _fold(head, "".join(parts), operation["operationId"])


def _gist(operation: Document) -> str:
    """What the operation does, in the first sentence that is told of it."""
    told = " ".join(operation.get("description", "").split())
    return _text(told.partition(". ")[0].removesuffix("."))


def _content(title: str, media: Document) -> str:
    """A body or an answer: its type, and what it looks like."""
    examples = [example["value"] for example in media.get("examples", {}).values()]
    examples += [media["example"]] if "example" in media else []
    shown = "".join(f"<pre>{escape(_written(example))}</pre>" for example in examples)
    return f"<h4>{title} {_type(media['schema']) if 'schema' in media else ''}</h4>{shown}"


def _written(example: Any) -> str:
    return example if isinstance(example, str) else json.dumps(example, indent=2, ensure_ascii=False)


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
    bounds = {name: schema[name] for name in names if abs(schema.get(name, _BOUNDLESS)) < _BOUNDLESS}
    told = [f"{names[name]} {bound:.10g}" for name, bound in bounds.items()]
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
