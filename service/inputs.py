"""The files a runner reads: for each job, local paths by role."""

from collections.abc import Collection
from pathlib import Path

from sqlalchemy.orm import Session

from core.specs import ComposeSpec, EvaluateSpec, ExtractSpec, TrainSpec
from service.artifacts import service as artifacts
from service.platform.errors import ArtifactMissingError
from service.platform.storage import ArtifactStore

_NETWORK = ("weights", "recipe")
_MODEL = (*_NETWORK, "statistics")


def job_inputs(
    session: Session, store: ArtifactStore, spec: TrainSpec | ExtractSpec | ComposeSpec | EvaluateSpec
) -> dict[str, Path]:
    """Role -> readable file, as RunnerInput.files wants it. Raises ArtifactMissingError."""
    if isinstance(spec, TrainSpec):
        teacher = spec.teacher_model_id
        return {} if teacher is None else _files(session, store, teacher, _NETWORK)
    if isinstance(spec, ExtractSpec):
        return _files(session, store, spec.model_id, _MODEL)
    if isinstance(spec, EvaluateSpec):
        return _files(session, store, spec.target_id, _NETWORK)
    paths = _files(session, store, str(spec.model_id), _MODEL)
    for module_id in spec.module_ids or []:
        paths[f"module:{module_id}"] = _files(session, store, module_id, ["recipe"])["recipe"]
    return paths


def _files(session: Session, store: ArtifactStore, owner_id: str, roles: Collection[str]) -> dict[str, Path]:
    found = artifacts.local_paths(session, store, owner_id, roles)
    missing = [role for role in roles if role not in found]
    if missing:
        raise ArtifactMissingError(f"{owner_id} has no {missing[0]} on record.")
    return {role: found[role] for role in roles}
