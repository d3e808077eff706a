"""The digest that tells whether two specs ask for the same result, in this version and in later ones."""

import hashlib
import json
from typing import Any

from core.approach_specs import Frozen
from core.job_options import JobOptions, TrainOptions

# Version 0.1 digested every field. A field that is added later enters only when it differs from its default,
# so that what was accepted or checkpointed before keeps its digest (docs/adr/0010).
_FROM_THE_START = {
    "TrainSpec": (
        "approach", "architecture", "augment", "batch_size", "checkpoint_interval_s", "dataset",
        "deterministic", "device", "distillation_weight", "early_stop_patience", "epochs",
        "gradient_accumulation", "learning_rate", "max_train_samples", "momentum", "precision", "seed",
        "teacher_model_id", "weight_decay",
    ),
    "ExtractSpec": ("classes", "evaluate", "fold_amplitudes", "form", "formats", "model_id", "threshold"),
    "ComposeSpec": (
        "classes", "composition_id", "evaluate", "fold_amplitudes", "form", "formats", "model_id",
        "module_ids", "strategy",
    ),
    "EvaluateSpec": ("classes", "split", "target_id"),
    "CleaveSpec": ("alpha", "retention", "whole_sets"),
    "MwtSpec": ("alpha", "beta"),
    "NemoSpec": ("alpha", "first_unit_in_loss", "self_term", "temperature", "zero_terms"),
    "ModaSpec": ("alpha", "beta", "gamma"),
}  # fmt: skip
_IDENTITY = ("kind", "name", "recipe")


def spec_digest(spec: JobOptions) -> str:
    """sha256 hex of what determines the result (the fields of JobOptions and TrainOptions excluded)."""
    content = _content(spec)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _content(spec: Frozen) -> dict[str, Any]:
    always = {*_IDENTITY, *_FROM_THE_START.get(type(spec).__name__, ())}
    content, values = dict[str, Any](), spec.model_dump(mode="json", exclude=set(TrainOptions.model_fields))
    for name, value in values.items():
        own = getattr(spec, name)
        if name in always or own != type(spec).model_fields[name].get_default(call_default_factory=True):
            content[name] = _content(own) if isinstance(own, Frozen) else value
    return content
