"""What the lists of the registry can be narrowed and sorted by, and how it is written in a query."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypedDict

_SPELLED = {
    "created_from": "created_at[gte]",
    "created_before": "created_at[lt]",
    "max_parameters": "parameters[lte]",
    "class_name": "class",
    "tags": "tag",
}


class Filters(TypedDict, total=False):
    """Of every list. `sort` is a field's name, with a leading "-" for the largest first."""

    architecture: str | None
    approach: str | None
    recipe: str | None
    dataset: str | None
    class_name: str | None
    created_from: datetime | None
    created_before: datetime | None
    max_parameters: int | None
    min_accuracy: float | None
    split: str | None
    tags: list[str] | None
    metadata: Mapping[str, str] | None
    sort: str | None
    limit: int | None
    after: str | None


class ModelFilters(Filters, total=False):
    """Of models."""

    name: str | None


class ModuleFilters(Filters, total=False):
    """Of modules and compositions."""

    model_id: str | None
    form: str | None
    min_f1: float | None


class ClassFilters(TypedDict, total=False):
    """Of the modules that know a class."""

    model_id: str | None
    form: str | None
    max_params: int | None
    min_f1: float | None
    min_accuracy: float | None
    split: str | None
    limit: int | None
    after: str | None


def query(filters: Mapping[str, Any]) -> dict[str, Any]:
    """The query parameters of these filters."""
    return {_SPELLED.get(name, name): _written(value) for name, value in filters.items()}


def _written(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return [f"{key}={content}" for key, content in value.items()]
    return value
