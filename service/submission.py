"""Accepting work: what only the registry can check, then the queue."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from core.specs import (
    AnySpec,
    ComposeSpec,
    DatasetInfo,
    EvaluateSpec,
    ExtractSpec,
    ImportSpec,
    SweepSpec,
    TrainSpec,
    takes_images,
)
from service.compositions import service as compositions
from service.compositions.resolution import require_classes, settle_form
from service.compositions.schemas import CompositionAnswer
from service.datasets import service as datasets
from service.datasets import uploading
from service.jobs import service as jobs
from service.jobs.idempotency import Once
from service.jobs.schemas import JobRead
from service.jobs.states import JobState
from service.jobs.tables import Job
from service.models import service as models
from service.modules import service as modules
from service.platform.database import settings_of
from service.platform.errors import (
    CompositionNotReadyError,
    InvalidRequestError,
    NotFoundError,
    TeacherMismatchError,
)


@dataclass(frozen=True)
class Answer:
    """What a request to compose is answered with."""

    body: CompositionAnswer
    headers: Mapping[str, str] = field(default_factory=dict)


def submit(session: Session, tenant_id: str, spec: AnySpec) -> Job:
    """Check what a job refers to and queue it; for compose, the existing job when there is one.

    Raises NotFoundError for what does not exist or is another tenant's, and InvalidRequestError's kinds.
    """
    if isinstance(spec, ComposeSpec):
        job = compositions.compose(session, tenant_id, spec)
        waiting = job.state != JobState.SUCCEEDED
        _require_data(session, str(job.spec["model_id"]), needed=spec.evaluate and waiting)
        return job
    if isinstance(spec, ImportSpec):  # a failed one, retried
        return uploading.import_again(session, spec)
    if isinstance(spec, TrainSpec):
        info = datasets.require_usable(session, settings_of(session), spec.dataset)
        _check_images(spec, info)
        _check_teacher(session, spec, info)
    elif isinstance(spec, ExtractSpec):
        spec = _settled_extract(session, spec)
    elif isinstance(spec, SweepSpec):
        spec = spec.model_copy(update={"form": settle_form(models.get(session, spec.model_id), spec.form)})
    else:
        _check_evaluate(session, spec)
    return jobs.enqueue(session, tenant_id, spec)


def _check_images(spec: TrainSpec, info: DatasetInfo) -> None:
    """Of built-in datasets the spec itself knows."""
    refusal = takes_images(spec.architecture, info)
    if refusal is not None:
        error = {"pointer": "/architecture", "code": "invalid", "message": refusal, "in": "body"}
        raise InvalidRequestError(f"/architecture: {refusal}", errors=[error])


def _check_teacher(session: Session, spec: TrainSpec, info: DatasetInfo) -> None:
    """The teacher's outputs must mean what the student's will. The worker compares the data's digests."""
    if spec.teacher_model_id is None:
        return
    model = models.get(session, spec.teacher_model_id)
    trained_on = datasets.by_ids(session, [model.dataset_id])[model.dataset_id]
    classes = models.classes_of(session, [model.id])[model.id]
    if trained_on.key != spec.dataset:
        raise TeacherMismatchError(
            f"The teacher was trained on {trained_on.name}; choose one trained on {info.name}."
        )
    if (classes, tuple(model.input_shape)) != (list(info.class_names), info.input_shape):
        raise TeacherMismatchError(
            f"The teacher's classes or image size are not those of {info.name}; train a new one."
        )


def compose_once(session: Session, tenant_id: str, spec: ComposeSpec, idempotency_key: str | None) -> Answer:
    """`submit` for POST /v1/compositions, with the composition; a repeated key answers as the first time."""
    once = Once(session, tenant_id, "/v1/compositions", idempotency_key, spec.model_dump(mode="json"))
    stored = once.answer()
    if stored is not None:
        headers = {**_pointers(stored.body["composition"]["id"]), "Idempotency-Replayed": "true"}
        return Answer(CompositionAnswer.model_validate(stored.body), headers)
    job = submit(session, tenant_id, spec)
    body = CompositionAnswer(
        composition=compositions.describe(session, str(job.spec["composition_id"])), job=JobRead.of(job)
    )
    once.store(200 if body.composition.ready else 202, body.model_dump(mode="json"))
    return Answer(body, _pointers(body.composition.id))


def _pointers(composition_id: str) -> dict[str, str]:
    return {"Location": f"/v1/compositions/{composition_id}", "Retry-After": "2"}


def _settled_extract(session: Session, spec: ExtractSpec) -> ExtractSpec:
    model = models.get(session, spec.model_id)
    form = settle_form(model, spec.form)
    wanted = [name for names in spec.classes or [] for name in names]
    require_classes(models.classes_of(session, [model.id])[model.id], wanted)
    _require_data(session, model.id, needed=spec.evaluate)
    return spec.model_copy(update={"form": form})


def _check_evaluate(session: Session, spec: EvaluateSpec) -> None:
    model_id, known = _target(session, spec.target_id)
    require_classes(known, spec.classes or [])
    _require_data(session, model_id, needed=True)


def _target(session: Session, target_id: str) -> tuple[str, Sequence[str]]:
    """The model behind a model, module or composition, and the classes the target knows."""
    if target_id.startswith("mdl_"):
        models.get(session, target_id)
        return target_id, models.classes_of(session, [target_id])[target_id]
    if target_id.startswith("mod_"):
        module = modules.get(session, target_id)
        return module.model_id, modules.classes_of(session, [target_id])[target_id]
    if not target_id.startswith("cmp_"):
        raise NotFoundError("Only models (mdl_), modules (mod_) and compositions (cmp_) can be evaluated.")
    composition = compositions.get(session, target_id)
    if not composition.ready:
        raise CompositionNotReadyError("The composition is not built yet; wait for its job.")
    return composition.model_id, composition.classes


def _require_data(session: Session, model_id: str, *, needed: bool) -> None:
    if needed:
        dataset_id = models.get(session, model_id).dataset_id
        key = datasets.by_ids(session, [dataset_id])[dataset_id].key
        datasets.require_usable(session, settings_of(session), key)
