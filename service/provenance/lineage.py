"""Lineage both ways: the data, job, attempt, code and seed that made something, and what uses it."""

from sqlalchemy.orm import Session

from service.compositions import service as compositions
from service.datasets import service as datasets
from service.jobs import service as jobs
from service.jobs.states import JobState
from service.models import service as models
from service.models.tables import Model
from service.modules import service as modules
from service.provenance.schemas import LineageView, MadeBy, Origin, Users

_NOTHING = Users(total=0, ids=[])


def of_model(session: Session, model_id: str) -> LineageView:
    """Raises NotFoundError."""
    origin = _origin(session, models.get(session, model_id))
    return LineageView(
        id=origin.id,
        kind="model",
        made_by=origin.made_by,
        model=origin,
        made_of=[],
        modules=_users(modules.newest_of_model(session, origin.id)),
        compositions=_users(compositions.newest_of_model(session, origin.id)),
        models=_users(models.newest_started_from(session, origin.id)),
    )


def of_module(session: Session, module_id: str) -> LineageView:
    """Raises NotFoundError."""
    module = modules.get(session, module_id)
    return LineageView(
        id=module.id,
        kind="module",
        made_by=_made_by(session, module.job_id),
        model=_origin(session, models.get(session, module.model_id)),
        made_of=[],
        modules=_NOTHING,
        compositions=_users(compositions.newest_with_module(session, module.id)),
        models=_NOTHING,
    )


def of_composition(session: Session, composition_id: str) -> LineageView:
    """Raises NotFoundError."""
    composition = compositions.get(session, composition_id)
    return LineageView(
        id=composition.id,
        kind="composition",
        made_by=_made_by(session, composition.job_id) if composition.ready else None,
        model=_origin(session, models.get(session, composition.model_id)),
        made_of=compositions.describe(session, composition.id).module_ids,
        modules=_NOTHING,
        compositions=_NOTHING,
        models=_NOTHING,
    )


def _origin(session: Session, model: Model) -> Origin:
    dataset = datasets.of_model(session, model.dataset_id)
    job = jobs.get(session, model.job_id)
    made_by = _made_by(session, model.job_id)
    return Origin(
        id=model.id,
        name=model.name,
        version=model.version,
        architecture=model.architecture,
        approach=model.approach,
        recipe=model.recipe,
        origin=model.origin,
        dataset_id=model.dataset_id,
        dataset=dataset and dataset.name,
        dataset_digest=dataset and (dataset.digest or ""),
        source_sha256=job.spec.get("sha256"),
        initial_model_id=model.initial_model_id,
        teacher_model_id=job.spec.get("teacher_model_id"),
        made_by=made_by.model_copy(update={"seed": model.seed, "versions": model.versions}),
    )


def _made_by(session: Session, job_id: str) -> MadeBy:
    job = jobs.get(session, job_id)
    result = job.result if job.state == JobState.SUCCEEDED else None
    return MadeBy(
        job_id=job.id,
        kind=job.kind,
        spec_sha256=job.spec_sha256,
        seed=job.spec.get("seed"),
        attempt=job.attempt,
        versions=(result or {}).get("versions", {}),
        finished_at=job.finished_at,
    )


def _users(found: tuple[int, list[str]]) -> Users:
    return Users(total=found[0], ids=found[1])
