"""What a spec accepts: the types it declares and nothing like them; and whatever was stored, again."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from core.specs import parse_job_spec, spec_digest

TRAIN = {"kind": "train", "architecture": "small_cnn", "dataset": "digits"}
SPECS: list[dict[str, Any]] = [
    {**TRAIN, "max_train_samples": 10_000_000, "learning_rate": 1, "metadata": {"team": "vision"}},
    {**TRAIN, "approach": {"name": "mwt", "alpha": 1}, "max_runtime_s": 60},
    {**TRAIN, "approach": {"name": "standard"}},
    {**TRAIN, "teacher_model_id": "mdl_1", "distillation_weight": 0.25},
    {"kind": "extract", "model_id": "mdl_1", "classes": [["cat"], ["dog", "truck"]], "threshold": 1},
    {"kind": "compose", "classes": ["cat"], "module_ids": ["mod_1"], "formats": ["pt2"]},
    {"kind": "evaluate", "target_id": "cmp_1", "classes": ["cat"]},
]


@pytest.mark.parametrize("given", SPECS)
def test_what_was_stored_parses_to_the_same(given: dict[str, Any]) -> None:
    spec = parse_job_spec(given)
    stored = json.loads(json.dumps(spec.model_dump(mode="json")))
    assert parse_job_spec(stored) == spec


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", True),
        ("epochs", "1"),
        ("epochs", 1.0),
        ("seed", False),
        ("priority", "50"),
        ("augment", 1),
        ("augment", "yes"),
        ("learning_rate", True),
        ("learning_rate", "0.1"),
        ("max_train_samples", 10_000_001),
        ("max_train_samples", 9),
        ("metadata", {"team": 7}),
    ],
)
def test_what_only_looks_like_a_value_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ValidationError) as refusal:
        parse_job_spec({**TRAIN, field: value})
    assert [error["loc"][:2] for error in refusal.value.errors()] == [("train", field)]


@pytest.mark.parametrize("weight", [0.25, 1])
def test_a_weight_without_a_teacher_is_refused(weight: float) -> None:
    with pytest.raises(ValidationError, match="needs a teacher_model_id"):
        parse_job_spec({**TRAIN, "distillation_weight": weight})


def test_teacher_and_weight_determine_the_result() -> None:
    given: list[dict[str, Any]] = [
        {},
        {"teacher_model_id": "mdl_1"},
        {"teacher_model_id": "mdl_2"},
        {"teacher_model_id": "mdl_1", "distillation_weight": 0.4},
    ]
    assert len({spec_digest(parse_job_spec({**TRAIN, **values})) for values in given}) == 4


def test_a_whole_number_is_a_fraction_too() -> None:
    assert parse_job_spec({**TRAIN, "learning_rate": 1}) == parse_job_spec({**TRAIN, "learning_rate": 1.0})
