"""`python -m service.spec_tables` prints docs/specs.md: every field of every kind of job, from the models."""

import sys
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel

from core.specs import ApproachSpec, ImportOptions, JobOptions, JobSpec

_HEAD = """\
# The fields of a job

Written by `make openapi` from `core/specs.py`; the path through the API is in [api.md](api.md).
A field without a default must be given. Types are strict: `"1"`, `true` or `1.0` is not an integer.
Unknown fields are refused. On the command line, `--set FIELD=VALUE` sets any of them
(`--set approach.alpha=1.0`, `--set fold_amplitudes=false`).
"""
_DATASET = """
Said with its `name` (and a `description`) when the dataset is made: `POST /v1/datasets`,
`client.datasets.upload(..., image_size=64)`, `cleave datasets upload --set image_size=64`. They stay as
they are; an import that fails for want of one needs a new dataset.
"""
_BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}


def tables() -> str:
    """The page."""
    sections = [_section(f'`"kind": "{_tag(model, "kind")}"`', model) for model in _members(JobSpec)]
    approaches = [
        _section(_approach(get_args(option)[0]), get_args(option)[0]) for option in _members(ApproachSpec)
    ]
    shared = [_section("Every kind", JobOptions), _section("A dataset of your own", ImportOptions) + _DATASET]
    return "\n".join([_HEAD, sections[0], *approaches, *sections[1:], *shared])


def _members(union: Any) -> tuple[Any, ...]:
    """The models of an annotated, discriminated union."""
    return get_args(get_args(union)[0])


def _approach(model: type[BaseModel]) -> str:
    """How to ask for it: the first recipe is what a name alone means."""
    names = " or ".join(f'"{name}"' for name in get_args(model.model_fields["name"].annotation))
    recipe = _tag(model, "recipe")
    return f'`"approach": {{"name": {names}, "recipe": "{recipe}"}}`'


def _tag(model: type[BaseModel], field: str) -> str:
    return str(model.model_fields[field].default)


def _section(title: str, model: type[BaseModel]) -> str:
    lines = [f"## {title}\n", f"{' '.join((model.__doc__ or '').split())}\n"]
    rows = list(_rows(model, _told_elsewhere(model)))
    if rows:
        lines += ["| field | type | default | meaning |", "|---|---|---|---|", *rows, ""]
    return "\n".join(lines)


def _told_elsewhere(model: type[BaseModel]) -> set[str]:
    """What is in the title, what every kind has, and what the service sets."""
    if model in {JobOptions, ImportOptions}:
        return set()
    shared = set(JobOptions.model_fields) if issubclass(model, JobOptions) else {"name", "recipe"}
    return shared | {"kind", "composition_id"}


def _rows(model: type[BaseModel], skip: set[str]) -> Iterator[str]:
    schema = model.model_json_schema()
    for name, field in schema["properties"].items():
        if name not in skip:
            cells = (f"`{name}`", _type(field), _default(model, name), field.get("description", ""))
            yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(model: type[BaseModel], name: str) -> str:
    field = model.model_fields[name]
    if field.is_required():
        return ""
    value = field.get_default(call_default_factory=True)
    if (value is None or isinstance(value, float)) and field.default_factory is not None:
        return "the recipe's"
    if isinstance(value, BaseModel):
        return f"`{getattr(value, 'name', type(value).__name__)}`"
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return f"`{text}`"


def _type(schema: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(option) for option in schema["anyOf"])
    if "oneOf" in schema:
        return "one of the approaches below"
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if schema["type"] == "array":
        return f"list of {_type(schema['items'])}"
    told = [f"{sign} {schema[name]:.10g}" for name, sign in _BOUNDS.items() if name in schema]
    return ", ".join([schema["type"], *told])


if __name__ == "__main__":
    sys.stdout.write(tables())
