"""An approach in JSON: read by method and recipe, refused in terms of its fields, published as a schema."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from core.specs import ApproachSpec, CleaveSpec, ModaSpec, MwtSpec, NemoSpec, StandardSpec

ADAPTER: TypeAdapter[Any] = TypeAdapter(ApproachSpec)
MEANT: list[tuple[dict[str, Any], type[Any]]] = [
    ({"name": "standard"}, StandardSpec),
    ({"name": "nemo"}, CleaveSpec),
    ({"name": "mwt", "recipe": "cleave", "retention": 0.5}, CleaveSpec),
    ({"name": "moda", "whole_sets": 0}, CleaveSpec),
    ({"name": "mwt", "recipe": "published", "beta": 1.0}, MwtSpec),
    ({"name": "nemo", "recipe": "published"}, NemoSpec),
    ({"name": "moda", "recipe": "published", "gamma": 1.0}, ModaSpec),
]


def refusals(given: object) -> list[tuple[tuple[int | str, ...], str, str]]:
    with pytest.raises(ValidationError) as refusal:
        ADAPTER.validate_python(given)
    return [(error["loc"], error["type"], error["msg"]) for error in refusal.value.errors()]


def branches(given: dict[str, Any]) -> list[str]:
    """The alternatives of the published schema that name and recipe leave to a document."""
    schema = ADAPTER.json_schema()
    names = [option["$ref"].rpartition("/")[2] for option in schema["oneOf"]]
    return [name for name in names if _fits(schema["$defs"][name], given)]


def _fits(schema: dict[str, Any], given: dict[str, Any]) -> bool:
    fields = schema["properties"]
    complete = set(schema["required"]) <= set(given) <= set(fields)
    return complete and all(
        given[name] in fields[name].get("enum", [fields[name].get("const")])
        for name in {"name", "recipe"} & set(given)
    )


@pytest.mark.parametrize(("given", "model"), MEANT)
def test_name_and_recipe_mean_one_specification(given: dict[str, Any], model: type[Any]) -> None:
    spec = ADAPTER.validate_python(given)
    assert type(spec) is model
    assert ADAPTER.validate_python(spec.model_dump(mode="json")) == spec
    assert ADAPTER.validate_python(spec) is spec


@pytest.mark.parametrize(("given", "model"), MEANT)
def test_the_schema_agrees(given: dict[str, Any], model: type[Any]) -> None:
    assert branches(given) == [model.__name__]
    assert branches(model().model_dump(mode="json")) == [model.__name__]


@pytest.mark.parametrize("given", [{"alpha": 1}, {"recipe": "published"}, {"name": "magic"}])
def test_the_schema_refuses_what_the_server_refuses(given: dict[str, Any]) -> None:
    assert branches(given) == []
    assert [place for place, _, _ in refusals(given)] == [("name",)]


@pytest.mark.parametrize("given", ["nemo", None, ["nemo"], 1])
def test_what_is_no_object(given: object) -> None:
    assert refusals(given) == [((), "dict_type", "Input should be a valid dictionary")]


def test_a_missing_name() -> None:
    assert refusals({"alpha": 1}) == [(("name",), "missing", "Field required")]


@pytest.mark.parametrize("name", ["cleave", "NemoSpec", None, ["nemo"], {}])
def test_every_method_is_offered_for_an_unknown_one(name: object) -> None:
    message = "Input should be 'standard', 'nemo', 'mwt' or 'moda'"
    assert refusals({"name": name}) == [(("name",), "literal_error", message)]


@pytest.mark.parametrize("recipe", ["x", None, []])
def test_every_recipe_of_the_method_is_offered_for_an_unknown_one(recipe: object) -> None:
    message = "Input should be 'cleave' or 'published'"
    assert refusals({"name": "nemo", "recipe": recipe}) == [(("recipe",), "literal_error", message)]
    standard = [(("recipe",), "literal_error", "Input should be 'published'")]
    assert refusals({"name": "standard", "recipe": recipe}) == standard


def test_a_field_of_the_other_recipe_is_told_as_such() -> None:
    assert refusals({"name": "nemo", "temperature": 0.2, "colour": 1, "alpha": -1}) == [
        (("alpha",), "greater_than_equal", "Input should be greater than or equal to 0"),
        (("temperature",), "extra_forbidden", "Only recipe 'published' has this field"),
        (("colour",), "extra_forbidden", "Extra inputs are not permitted"),
    ]
    (other,) = refusals({"name": "mwt", "recipe": "published", "retention": 0.3})
    assert other == (("retention",), "extra_forbidden", "Only recipe 'cleave' has this field")
