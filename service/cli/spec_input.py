"""A job's spec from options, `--set` and a file."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli.session import fail

SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any other field of the spec, e.g. approach.alpha=1.0"),
]
SpecOption = Annotated[
    Path | None, typer.Option("--spec", exists=True, dir_okay=False, help="A JSON file with the spec.")
]


def read_spec(
    kind: str, file: Path | None, given: dict[str, Any], settings: list[str] | None
) -> dict[str, Any]:
    """The spec to send: a file, overridden by options, overridden by `--set`. The service checks it."""
    body: dict[str, Any] = {}
    if file is not None:
        try:
            body = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            fail("invalid_spec_file", f"{file} is not JSON: {error}")
        if not isinstance(body, dict):
            fail("invalid_spec_file", f"{file} must hold one JSON object")
    body |= {"kind": kind} | {name: value for name, value in given.items() if value is not None}
    return assign_all(body, settings)


def assign_all(body: dict[str, Any], settings: list[str] | None) -> dict[str, Any]:
    """`body` with what `--set` says."""
    for setting in settings or []:
        key, equals, text = setting.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"{setting!r} is not KEY=VALUE", param_hint="--set")
        _assign(body, key.split("."), _json_or_text(text))
    return body


def _assign(body: dict[str, Any], path: list[str], value: Any) -> None:
    for name in path[:-1]:
        inner = body.setdefault(name, {})
        if not isinstance(inner, dict):
            raise typer.BadParameter(f"{name!r} is not an object", param_hint="--set")
        body = inner
    body[path[-1]] = value


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
