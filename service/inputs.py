"""The files a runner reads: for each job, local paths by role."""

import json
import re
from collections.abc import Collection
from pathlib import Path

from sqlalchemy.orm import Session

from core.catalog import UPLOADED_ID
from core.specs import AnySpec, EvaluateSpec, ExtractSpec, ImportModelSpec, ImportSpec, SweepSpec, TrainSpec
from service.artifacts import service as artifacts
from service.platform.errors import NotFoundError
from service.platform.storage import ArtifactStore
from service.uploads import service as uploads

_NETWORK = ("weights", "recipe")
_MODEL = (*_NETWORK, "statistics")
_DATA = ("images", "labels", "dataset")


def job_inputs(session: Session, store: ArtifactStore, spec: AnySpec) -> dict[str, Path]:
    """Role -> readable file, as RunnerInput.files wants it. Raises NotFoundError, ArtifactMissingError."""
    if isinstance(spec, ImportSpec):
        return uploads.local_parts(session, store, spec.upload_id)
    if isinstance(spec, ImportModelSpec):
        data = {} if spec.dataset is None else _data(session, store, spec.dataset, _DATA)
        return uploads.local_parts(session, store, spec.upload_id) | data
    if isinstance(spec, TrainSpec):
        return _learned_from(session, store, spec) | _data(session, store, spec.dataset, _DATA)
    if isinstance(spec, EvaluateSpec):
        files = _files(session, store, spec.target_id, _NETWORK)
        if spec.dataset is not None:
            return files | _data(session, store, spec.dataset, _DATA)
        return _with_data(session, store, files)
    files = _files(session, store, str(spec.model_id), _MODEL)
    if isinstance(spec, SweepSpec):
        return files
    if spec.evaluate:
        files = _with_data(session, store, files)
    if isinstance(spec, ExtractSpec):
        return files
    for module_id in spec.module_ids or []:
        files[f"module:{module_id}"] = _files(session, store, module_id, ["recipe"])["recipe"]
    return files


def _learned_from(session: Session, store: ArtifactStore, spec: TrainSpec) -> dict[str, Path]:
    """The files of the models that a training names."""
    teacher, initial = spec.teacher_model_id, spec.initial_model_id
    files = {} if teacher is None else _files(session, store, teacher, _NETWORK)
    if initial is None:
        return files
    found = _files(session, store, initial, _NETWORK)
    return files | {f"initial:{role}": path for role, path in found.items()}


def check_inputs(session: Session, store: ArtifactStore, dataset: str) -> dict[str, Path]:
    """The same for the check of a training, which needs no image."""
    return _data(session, store, dataset, ["dataset"])


def _with_data(session: Session, store: ArtifactStore, files: dict[str, Path]) -> dict[str, Path]:
    """The network's files, and those of the dataset that its recipe names."""
    recipe = json.loads(files["recipe"].read_text(encoding="utf-8"))
    return files | _data(session, store, recipe["dataset"], _DATA)


def _data(session: Session, store: ArtifactStore, dataset: str, roles: Collection[str]) -> dict[str, Path]:
    """An uploaded dataset is files; a built-in one is read by its name."""
    if re.fullmatch(UPLOADED_ID, dataset) is None:
        return {}
    found = _files(session, store, dataset, roles)
    return {f"data:{role}": path for role, path in found.items()}


def _files(session: Session, store: ArtifactStore, owner_id: str, roles: Collection[str]) -> dict[str, Path]:
    found = artifacts.local_paths(session, store, owner_id, roles)
    missing = [role for role in roles if role not in found]
    if missing:
        raise NotFoundError(f"{owner_id} has no {missing[0]} on record.")
    return {role: found[role] for role in roles}
