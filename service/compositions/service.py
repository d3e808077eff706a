"""Compositions: one row for each distinct request, and the job that builds it."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core.results import ModuleResult
from core.specs import ComposeSpec
from service.artifacts import service as artifacts
from service.compositions import repository
from service.compositions.resolution import composition_key, folds, resolve
from service.compositions.schemas import CompositionSearch, CompositionView
from service.compositions.tables import Composition
from service.jobs import service as jobs
from service.jobs.states import TERMINAL, JobState
from service.jobs.tables import Job
from service.models import service as models
from service.modules.service import SIZE_FIELDS
from service.platform.answers import Answer
from service.platform.errors import NotFoundError
from service.platform.holding import Lock, unlocked
from service.platform.pagination import PageRequest
from service.registry import labels, reading
from service.registry.etags import require_match
from service.registry.labels import LabelsPatch

_COLUMNS = (
    "id", "model_id", "job_id", "classes", "strategy", "form", "fold_amplitudes", "ready", "created_at",
    *SIZE_FIELDS,
)  # fmt: skip
_GIVEN_UP = TERMINAL - {JobState.SUCCEEDED}


def compose(session: Session, tenant_id: str, spec: ComposeSpec) -> Job:
    """The job that builds, or built, what is asked for; a new one only when there is none to wait for.

    Raises the errors of `resolution.resolve`.
    """
    resolved = resolve(session, spec)
    values = {
        "model_id": resolved.model.id,
        "strategy": spec.strategy,
        "form": resolved.form,
        "fold_amplitudes": folds(resolved, spec),
        "classes": resolved.classes,
        "options": {"formats": sorted(set(spec.formats))},
    }
    key = composition_key(resolved, spec)
    try:
        composition, made = repository.ensure(session, tenant_id=tenant_id, key=key, values=values)
        if made:
            repository.add_content(session, composition, [module.id for module in resolved.modules])
    except IntegrityError as error:
        raise NotFoundError("One of the modules was removed at this moment.") from error
    if not made and (job := jobs.get(session, composition.job_id)).state not in _GIVEN_UP:
        return job
    job = jobs.enqueue(session, tenant_id, resolved.complete(spec, composition.id))
    composition.job_id = job.id
    session.flush()
    return job


def get(session: Session, composition_id: str, lock: Lock = unlocked) -> Composition:
    """The composition, or NotFoundError."""
    composition = repository.find(session, composition_id, lock)
    if composition is None:
        raise NotFoundError.of("composition", composition_id)
    return composition


def read(session: Session, composition_id: str) -> Answer:
    """What `describe` tells, rendered."""
    return reading.one(session, ("composition", composition_id), repository.find_seen, describe_many)


def describe(session: Session, composition_id: str) -> CompositionView:
    """One composition with its members, figures and files."""
    return _views(session, [get(session, composition_id)])[0]


def describe_many(session: Session, composition_ids: Sequence[str]) -> list[CompositionView]:
    """What `describe` tells of each of these, in any order."""
    return _views(session, repository.told_of(session, composition_ids))


def change(
    session: Session, composition_id: str, patch: LabelsPatch, if_match: str | None
) -> CompositionView:
    """Change the labels of the composition that the caller has seen. Raises PreconditionFailedError."""
    composition = repository.find_locked(session, composition_id)
    if composition is None:
        raise NotFoundError.of("composition", composition_id)
    require_match(if_match, _views(session, [composition])[0])
    labels.change(session, composition.tenant_id, composition.id, patch)
    return _views(session, [composition])[0]


def read_page(session: Session, wanted: CompositionSearch, page: PageRequest) -> Answer:
    """The compositions that fit, sorted."""
    return reading.page(session, repository.page(session, wanted, page), describe_many)


def rate(session: Session, composition_id: str, scores: Mapping[str, float]) -> None:
    """Keep newly measured figures where they can be searched by."""
    repository.rate(session, composition_id, scores)


def finish(session: Session, composition_id: str, job_id: str, result: ModuleResult) -> Composition:
    """Record that a composition is built: its sizes and notes."""
    composition = get(session, composition_id)
    composition.ready, composition.job_id = True, job_id
    for name in SIZE_FIELDS:
        setattr(composition, name, getattr(result, name))
    return composition


def ids_of_model(session: Session, model_id: str) -> Sequence[str]:
    """Some of the compositions of a model's modules; empty when there are none."""
    return repository.ids_of_model(session, model_id)


def ids_with_module(session: Session, module_id: str) -> Sequence[str]:
    """Some of the compositions that a module is in; empty when there are none."""
    return repository.ids_with_module(session, module_id)


def newest_of_model(session: Session, model_id: str) -> tuple[int, list[str]]:
    """How many, and the ids of the newest compositions of a model's modules."""
    return repository.newest_of_model(session, model_id)


def newest_with_module(session: Session, module_id: str) -> tuple[int, list[str]]:
    """How many, and the ids of the newest compositions that a module is in."""
    return repository.newest_with_module(session, module_id)


def remove(session: Session, composition_id: str) -> None:
    """Take the composition out; its modules stay. An identical request builds it again."""
    repository.remove(session, composition_id)


def _views(session: Session, compositions: Sequence[Any]) -> list[CompositionView]:
    ids = [composition.id for composition in compositions]
    members, metrics = repository.members_of(session, ids), models.metrics_of(session, ids)
    files, labelled = artifacts.of_owners(session, ids), labels.of_owners(session, ids)
    return [
        CompositionView(
            **{name: getattr(composition, name) for name in _COLUMNS},
            formats=composition.options["formats"],
            module_ids=members.get(composition.id, []),
            tags=labelled[composition.id].tags,
            metadata=labelled[composition.id].metadata,
            metrics=metrics.get(composition.id, []),
            artifacts=files.get(composition.id, []),
        )
        for composition in compositions
    ]
