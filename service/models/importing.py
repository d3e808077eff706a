"""Models by upload: weights that were trained elsewhere, read by a job."""

from typing import Any

from sqlalchemy.orm import Session

from core.results import ImportModelResult
from core.specs import DatasetInfo, ImportModelSpec, takes_size
from service.datasets import service as datasets
from service.jobs import service as jobs
from service.jobs.states import TERMINAL
from service.jobs.tables import Job
from service.models import names, service
from service.models.schemas import ModelImport
from service.platform.database import settings_of
from service.platform.errors import InvalidRequestError, UploadInUseError
from service.platform.holding import changing
from service.registry import labels
from service.registry.labels import LabelsPatch
from service.uploads import service as uploads
from service.uploads.tables import Upload

_CHANNELS = (1, 3)


def submit(session: Session, tenant_id: str, request: ModelImport) -> Job:
    """The job that reads the weights.

    Raises NotFoundError, UploadIncompleteError, UploadInUseError, InvalidRequestError's kinds.
    """
    upload = _whole_upload(session, request.upload_id)
    info = None
    if request.dataset is not None:
        info = datasets.require_usable(session, settings_of(session), request.dataset)
    content = _completed(request, info)
    _check(request.architecture, content, info)
    spec = ImportModelSpec(
        upload_id=upload.id,
        filename=upload.filename,
        sha256=upload.sha256,
        size=upload.size,
        architecture=request.architecture,
        dataset=request.dataset,
        name=request.name,
        tags=sorted(set(request.tags)),
        metadata=request.metadata,
        **content,
    )
    return _enqueue(session, tenant_id, upload, spec)


def import_again(session: Session, tenant_id: str, spec: ImportModelSpec) -> Job:
    """The same import as a new job, while the upload is still there."""
    if spec.dataset is not None:
        datasets.require_usable(session, settings_of(session), spec.dataset)
    return _enqueue(session, tenant_id, _whole_upload(session, spec.upload_id), spec)


def finish(session: Session, job: Job, dataset_id: str | None, result: ImportModelResult) -> str:
    """Keep the model, under the name and with the labels that were asked for. Returns its id."""
    model = service.record(
        session, tenant_id=job.tenant_id, job_id=job.id, dataset_id=dataset_id, result=result
    )
    spec = ImportModelSpec.model_validate(job.spec)
    if spec.tags or spec.metadata:
        labels.change(
            session, job.tenant_id, model.id, LabelsPatch(tags=spec.tags, metadata=dict(spec.metadata))
        )
    names.rename(session, model, spec.name)
    uploads.release(session, spec.upload_id)
    return model.id


def _whole_upload(session: Session, upload_id: str) -> Upload:
    upload = uploads.get(session, upload_id, upload_id, changing)  # one job at a time reads it
    uploads.require_complete(session, upload)
    if upload.job_id is not None and jobs.get(session, upload.job_id).state not in TERMINAL:
        raise UploadInUseError(f"The job {upload.job_id} is reading this upload; wait for it or cancel it.")
    return upload


def _completed(request: ModelImport, info: DatasetInfo | None) -> dict[str, Any]:
    """What was not said is the dataset's."""
    own: dict[str, Any] = {
        name: getattr(request, name) for name in ("class_names", "input_shape", "mean", "std")
    }
    if info is None:
        return own
    return {name: list(getattr(info, name)) if value is None else value for name, value in own.items()}


def _check(architecture: str, content: dict[str, Any], info: DatasetInfo | None) -> None:
    channels, height, width = content["input_shape"]
    refusal = takes_size(architecture, height, width, whose="these have")
    if refusal is not None:
        raise _refusal("/architecture", refusal)
    if channels not in _CHANNELS:
        raise _refusal("/input_shape/0", "Images have 1 or 3 channels.")
    for name in ("mean", "std"):
        if len(content[name]) != channels:
            raise _refusal(f"/{name}", f"One number for each of the {channels} channels is needed.")
    if info is None:
        return
    if tuple(content["input_shape"]) != info.input_shape:
        raise _refusal("/input_shape", f"The images of {info.name} are {list(info.input_shape)}.")
    unknown = [name for name in content["class_names"] if name not in info.class_names]
    if unknown:
        raise _refusal("/class_names", f"{info.name} has no class {unknown[0]!r}.")


def _refusal(pointer: str, message: str) -> InvalidRequestError:
    error = {"pointer": pointer, "code": "invalid", "message": message, "in": "body"}
    return InvalidRequestError(f"{pointer}: {message}", errors=[error])


def _enqueue(session: Session, tenant_id: str, upload: Upload, spec: ImportModelSpec) -> Job:
    job = jobs.enqueue(session, tenant_id, spec)
    upload.job_id = job.id
    session.flush()
    return job
