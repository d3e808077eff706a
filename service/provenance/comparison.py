"""Models, modules or compositions side by side: what they are, how large, how good."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import Query
from sqlalchemy.orm import Session

from service.compositions import service as compositions
from service.compositions.schemas import CompositionView
from service.models import service as models
from service.models.schemas import ModelView
from service.modules import service as modules
from service.modules.schemas import ModuleView
from service.platform.errors import InvalidRequestError
from service.provenance.schemas import ComparedRow, ComparisonView, Value

MOST = 10
_OF_MODELS = (
    "name", "version", "architecture", "approach", "recipe", "dataset", "dataset_digest", "classes",
    "input_shape", "seed", "parameters", "flops",
)  # fmt: skip
_OF_MODULES = (
    "model_id", "classes", "form", "fold_amplitudes", "threshold", "mask_digest", "retention_rate",
    "parameters", "parameter_rate", "flops", "flops_rate",
)  # fmt: skip
_OF_COMPOSITIONS = (
    "model_id", "module_ids", "classes", "strategy", "form", "fold_amplitudes", "ready", "retention_rate",
    "parameters", "parameter_rate", "flops", "flops_rate",
)  # fmt: skip

Ids = Annotated[
    str, Query(min_length=1, max_length=2000, description=f"2 to {MOST} of them, separated by commas.")
]


def of_models(session: Session, ids: str) -> ComparisonView:
    """Raises NotFoundError, InvalidRequestError."""
    return _compare([models.describe(session, one) for one in _split(ids)], _OF_MODELS)


def of_modules(session: Session, ids: str) -> ComparisonView:
    """Raises NotFoundError, InvalidRequestError."""
    return _compare([modules.describe(session, one) for one in _split(ids)], _OF_MODULES)


def of_compositions(session: Session, ids: str) -> ComparisonView:
    """Raises NotFoundError, InvalidRequestError."""
    return _compare([compositions.describe(session, one) for one in _split(ids)], _OF_COMPOSITIONS)


def _split(ids: str) -> list[str]:
    found = [one.strip() for one in ids.split(",")]
    if not 2 <= len(found) <= MOST or not all(found):
        detail = f"Give 2 to {MOST} ids, separated by commas."
        error = {"pointer": "/ids", "code": "invalid", "message": detail, "in": "query"}
        raise InvalidRequestError(detail, errors=[error])
    return found


def _compare(
    views: Sequence[ModelView | ModuleView | CompositionView], names: Sequence[str]
) -> ComparisonView:
    rows = [_row(name, [getattr(view, name) for view in views]) for name in names]
    figures = [{(m.name, m.split, m.class_name, m.dataset): m.value for m in view.metrics} for view in views]
    for key in dict.fromkeys(key for of_one in figures for key in of_one):
        row = _row(key[0], [of_one.get(key) for of_one in figures], measured=True)
        data = {"split": key[1], "class_name": key[2], "dataset": key[3]}
        rows.append(row.model_copy(update=data))
    return ComparisonView(ids=[view.id for view in views], rows=rows)


_MEASURES = {"retention_rate", "parameters", "parameter_rate", "flops", "flops_rate", "threshold"}


def _row(name: str, values: list[Value], *, measured: bool = False) -> ComparedRow:
    differences = _differences(values) if measured or name in _MEASURES else None
    same = all(value == values[0] for value in values)
    return ComparedRow(name=name, values=values, differences=differences, same=same)


def _differences(values: Sequence[Value]) -> list[float | None]:
    first, *_ = numbers = [value if isinstance(value, int | float) else None for value in values]
    return [None if first is None or number is None else number - first for number in numbers]
