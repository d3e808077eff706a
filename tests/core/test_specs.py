"""What a spec accepts: the types it declares and nothing like them; and whatever was stored, again."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from core import specs
from core.specs import TrainSpec, parse_job_spec, spec_digest

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


@pytest.mark.parametrize(
    ("approach", "rate", "decay", "warmup"),
    [
        ({"name": "mwt"}, 0.2, 0.0005, 0.15),
        ({"name": "mwt", "recipe": "published"}, 0.05, 0.0, 0.0),
        ({"name": "standard"}, 0.05, 0.0, 0.0),
    ],
)
def test_what_is_left_out_is_the_recipes(
    approach: dict[str, Any], rate: float, decay: float, warmup: float
) -> None:
    spec = TrainSpec.model_validate({**TRAIN, "approach": approach})
    assert (spec.learning_rate, spec.weight_decay, spec.warmup_ratio) == (rate, decay, warmup)
    assert TrainSpec.model_validate(spec.model_dump()) == spec
    given = {**TRAIN, "approach": approach, "learning_rate": 0.3, "weight_decay": 0.0}
    assert (TrainSpec.model_validate(given).learning_rate, TrainSpec.model_validate(given).weight_decay) == (
        0.3,
        0.0,
    )


def test_a_rate_of_ones_own_comes_without_a_warmup() -> None:
    """So a job accepted before there was a warm-up goes on without one."""
    assert TrainSpec.model_validate({**TRAIN, "learning_rate": 0.1}).warmup_ratio == 0
    warm = TrainSpec.model_validate({**TRAIN, "warmup_ratio": 0.3})
    assert (warm.learning_rate, warm.warmup_ratio) == (0.2, 0.3)


def test_a_whole_number_is_a_fraction_too() -> None:
    assert parse_job_spec({**TRAIN, "learning_rate": 1}) == parse_job_spec({**TRAIN, "learning_rate": 1.0})


# As version 0.1 computed them: checkpoints and jobs hold them, with every field of that version.
AT_FIRST = {"learning_rate": 0.05, "weight_decay": 0.0}
DIGESTS: list[tuple[dict[str, Any], str]] = [
    ({**TRAIN, **AT_FIRST}, "abbb94469006a7d89967ff9e96fe0055f66276d7219caa50818d6776a0cb4b7a"),
    (
        {**TRAIN, "approach": {"name": "standard"}},
        "f3989f584a21ec89ffcfa5318cb46d92427dab5aa578ac918a53c3920627e683",
    ),
    (
        {**TRAIN, "approach": {"name": "mwt", "recipe": "published"}},
        "e4935a4cec9af2401058375ba50853cf14229e7c3d0b73eb8659f62f72ad3cf7",
    ),
    (
        {**TRAIN, "approach": {"name": "nemo", "recipe": "published"}},
        "93cc7a62667163c3f0e040149721f57d455a2d2c0c47992f0719189e89a86a7d",
    ),
    (
        {**TRAIN, "approach": {"name": "moda", "recipe": "published"}},
        "7b3e9c54f68e597c1877c377c196bf40e8de2a2b1e20bf5da4f5ae2b3f0b3a54",
    ),
    (
        {**TRAIN, **AT_FIRST, "teacher_model_id": "mdl_1", "epochs": 3},
        "b9302b8e4a42ae825ecd30cfc10fb06f75d64004b463fe14de51c17350224731",
    ),
    (
        {"kind": "extract", "model_id": "mdl_1", "threshold": 0.9},
        "1057f5cbd35e28064a84d63f7f9e11bae6695138045ad7c684dd68541feb8142",
    ),
    (
        {"kind": "compose", "classes": ["cat"]},
        "b2344732497832bee7088eba86e994db1246d2313f26e52f719ee93c76b4021f",
    ),
    (
        {"kind": "evaluate", "target_id": "cmp_1"},
        "8d8ddf59c14480be54057ab47537410467ae124485b9fd539726e52e6e5489a3",
    ),
]


@pytest.mark.parametrize(("given", "digest"), DIGESTS)
def test_digests_of_earlier_versions_stay(given: dict[str, Any], digest: str) -> None:
    assert spec_digest(parse_job_spec({**given, "priority": 7, "metadata": {"team": "vision"}})) == digest


def test_a_field_added_later_enters_only_where_it_is_used() -> None:
    class TrainSpec(specs.TrainSpec):
        added_later: int = 3

    earlier = spec_digest(parse_job_spec(TRAIN))
    assert spec_digest(TrainSpec.model_validate(TRAIN)) == earlier
    assert spec_digest(TrainSpec.model_validate({**TRAIN, "added_later": 3})) == earlier
    assert spec_digest(TrainSpec.model_validate({**TRAIN, "added_later": 4})) != earlier
