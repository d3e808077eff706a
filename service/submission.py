"""Accepting work: what only the registry can check, then the queue."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from core.specs import (
    AnySpec,
    ComposeSpec,
    DatasetInfo,
    ExtractSpec,
    ImportModelSpec,
    ImportSpec,
    SweepSpec,
    TrainSpec,
    takes_images,
)
from service import evaluations
from service.compositions import service as compositions
from service.compositions.resolution import require_classes, settle_form
from service.compositions.schemas import CompositionAnswer
from service.datasets import service as datasets
from service.datasets import uploading
from service.jobs import service as jobs
from service.jobs.idempotency import Once
from service.jobs.inheritance import inherit
from service.jobs.schemas import JobRead
from service.jobs.states import JobState
from service.jobs.tables import Job
from service.models import importing
from service.models import service as models
from service.platform.database import settings_of
from service.platform.errors import InitialModelMismatchError, InvalidRequestError, TeacherMismatchError
from service.platform.holding import held
from service.usage import storage
from service.webhooks import service as webhooks


@dataclass(frozen=True)
class Answer:
    """What a request to compose is answered with."""

    body: CompositionAnswer
    headers: Mapping[str, str] = field(default_factory=dict)


def require_webhook(session: Session, spec: AnySpec) -> None:
    """Raises NotFoundError. Not of a spec that is retried: its webhook may be gone, and was not needed."""
    if spec.webhook_id is not None:
        webhooks.get(session, spec.webhook_id)


def submit(session: Session, tenant_id: str, spec: AnySpec) -> Job:
    """Check what a job refers to and queue it; for compose, the existing job when there is one.

    What it refers to nobody removes before this transaction ends: what a composition is of is named by its
    row, all else is held.

    Raises NotFoundError for what does not exist or is another tenant's, InvalidRequestError's kinds,
    and StorageQuotaError where nothing more can be stored.
    """
    spec = _with_ids(session, spec)
    if isinstance(spec, ComposeSpec):
        job = compositions.compose(session, tenant_id, spec)
        if spec.evaluate and job.state != JobState.SUCCEEDED:
            evaluations.require_data(session, models.get(session, str(job.spec["model_id"])))
        return job
    if isinstance(spec, ImportSpec):  # a failed one, retried
        return uploading.import_again(session, spec)
    if isinstance(spec, ImportModelSpec):
        return importing.import_again(session, tenant_id, spec)
    if isinstance(spec, TrainSpec):
        info = datasets.require_usable(session, settings_of(session), spec.dataset)
        _check_images(spec, info)
        _check_teacher(session, spec, info)
        _check_initial(session, spec)
    elif isinstance(spec, ExtractSpec):
        spec = _settled_extract(session, spec)
    elif isinstance(spec, SweepSpec):
        model = models.get(session, spec.model_id, held)
        models.require_statistics(session, model)
        spec = spec.model_copy(update={"form": settle_form(model, spec.form)})
    else:
        evaluations.check(session, spec)
    if isinstance(spec, TrainSpec | ExtractSpec):  # hours, perhaps, whose results could not be kept
        storage.require_space(session, tenant_id, 1)
    return jobs.enqueue(session, tenant_id, spec)


def retry(session: Session, tenant_id: str, job_id: str) -> Job:
    """The spec of an ended job as a new job; who asks again before that has ended gets it too.

    Raises NotFoundError, ConflictError while the job is not over, and what `submit` raises.
    """
    source = jobs.ended(session, job_id)
    heir = jobs.living_retry(session, source)
    if heir is None:
        heir = submit(session, tenant_id, jobs.spec_of(source))
        inherit(session, source, heir)
        source.retried_as = heir.id
        session.flush()
    return heir


def _with_ids(session: Session, spec: AnySpec) -> AnySpec:
    """Models by their ids where the spec names them by `name@alias`: the job is of what that means now."""
    found: dict[str, str] = {}
    for field_name in ("model_id", "initial_model_id", "teacher_model_id", "target_id"):
        reference = getattr(spec, field_name, None)
        if reference is not None and "@" in reference:
            found[field_name] = models.get(session, reference).id
    return spec.model_copy(update=found)


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
    model = models.get(session, spec.teacher_model_id, held)
    trained_on = datasets.of_model(session, model.dataset_id)
    classes = models.classes_of(session, [model.id])[model.id]
    if trained_on is None or trained_on.key != spec.dataset:
        of = "no dataset" if trained_on is None else trained_on.name
        raise TeacherMismatchError(f"The teacher was trained on {of}; choose one trained on {info.name}.")
    if (classes, tuple(model.input_shape)) != (list(info.class_names), info.input_shape):
        raise TeacherMismatchError(
            f"The teacher's classes or image size are not those of {info.name}; train a new one."
        )


def _check_initial(session: Session, spec: TrainSpec) -> None:
    """Which tensors fit, by name and shape, the worker finds out."""
    if spec.initial_model_id is None:
        return
    model = models.get(session, spec.initial_model_id, held)
    if model.architecture != spec.architecture:
        raise InitialModelMismatchError(
            f"{model.id} is a {model.architecture}; a {spec.architecture} cannot start from it."
        )


def compose_once(session: Session, tenant_id: str, spec: ComposeSpec, idempotency_key: str | None) -> Answer:
    """`submit` for POST /v1/compositions, with the composition; a repeated key answers as the first time."""
    once = Once(session, tenant_id, "/v1/compositions", idempotency_key, spec.model_dump(mode="json"))
    stored = once.answer()
    if stored is not None:
        headers = {**_pointers(stored.body["composition"]["id"]), "Idempotency-Replayed": "true"}
        return Answer(CompositionAnswer.model_validate(stored.body), headers)
    require_webhook(session, spec)
    job = submit(session, tenant_id, spec)
    body = CompositionAnswer(
        composition=compositions.describe(session, str(job.spec["composition_id"])), job=JobRead.of(job)
    )
    once.store(200 if body.composition.ready else 202, body.model_dump(mode="json"))
    return Answer(body, _pointers(body.composition.id))


def _pointers(composition_id: str) -> dict[str, str]:
    return {"Location": f"/v1/compositions/{composition_id}", "Retry-After": "2"}


def _settled_extract(session: Session, spec: ExtractSpec) -> ExtractSpec:
    model = models.get(session, spec.model_id, held)
    models.require_statistics(session, model)
    form = settle_form(model, spec.form)
    wanted = [name for names in spec.classes or [] for name in names]
    require_classes(models.classes_of(session, [model.id])[model.id], wanted)
    if spec.evaluate:
        evaluations.require_data(session, model)
    return spec.model_copy(update={"form": form})
