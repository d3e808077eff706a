"""Datasets by upload: made empty, filled by a file, read by a job."""

from sqlalchemy.orm import Session

from core.results import ImportResult
from core.specs import ImportOptions, ImportSpec
from service.artifacts import service as artifacts
from service.datasets.schemas import DatasetCreate
from service.datasets.service import get_uploaded, state_of
from service.datasets.tables import Dataset
from service.jobs import service as jobs
from service.jobs.tables import Job
from service.platform.clock import db_now
from service.platform.database import settings_of
from service.platform.errors import DatasetFilledError, DatasetImportingError, InUseError
from service.platform.holding import Lock, changing, taken, unlocked
from service.platform.ids import new_id
from service.uploads import service as uploads
from service.uploads.schemas import MIB, UploadCreate, UploadView
from service.uploads.tables import Upload


def create(session: Session, tenant_id: str, request: DatasetCreate) -> Dataset:
    """A dataset that awaits its file."""
    options = request.model_dump(mode="json", include=set(ImportOptions.model_fields))
    row = Dataset(
        id=new_id("ds"),
        tenant_id=tenant_id,
        name=request.name,
        description=request.description,
        info={},
        uploaded=True,
        options=options,
    )
    session.add(row)
    session.flush()
    session.refresh(row)
    return row


def open_upload(session: Session, tenant_id: str, dataset_id: str, request: UploadCreate) -> UploadView:
    """An upload for a dataset that has no images yet."""
    row = get_uploaded(session, dataset_id)
    _require_fillable(session, row)
    return uploads.create(session, tenant_id, row.id, request)


def find_upload(session: Session, dataset_id: str, upload_id: str, lock: Lock = unlocked) -> Upload:
    """The upload, or NotFoundError."""
    return uploads.get(session, get_uploaded(session, dataset_id, lock).id, upload_id, lock)


def complete(session: Session, dataset_id: str, upload_id: str) -> Job:
    """The job that reads the file: the living one, else a new one.

    Raises UploadIncompleteError, DatasetFilledError.
    """
    row = get_uploaded(session, dataset_id, changing)  # who asks at the same time gets the same job
    upload = uploads.get(session, row.id, upload_id, changing)
    job = None if upload.job_id is None else jobs.get(session, upload.job_id)
    if job is not None and job.id == row.job_id and state_of(row, job) != "failed":
        return job
    _require_fillable(session, row)
    uploads.require_complete(session, upload)
    spec = ImportSpec(
        dataset_id=row.id,
        dataset_name=row.name,
        upload_id=upload.id,
        filename=upload.filename,
        sha256=upload.sha256,
        size=upload.size,
        max_bytes=settings_of(session).max_dataset_mib * MIB,
        options=ImportOptions.model_validate(row.options),
    )
    return _enqueue(session, row, upload, spec)


def import_again(session: Session, spec: ImportSpec) -> Job:
    """The same import as a new job, while the upload is still there."""
    row = get_uploaded(session, spec.dataset_id, changing)
    _require_fillable(session, row)
    return _enqueue(session, row, uploads.get(session, row.id, spec.upload_id, changing), spec)


def finish(session: Session, result: ImportResult) -> None:
    """The import has succeeded: the dataset can be used, and the uploaded file is not needed any more."""
    row = get_uploaded(session, result.dataset_id)
    row.digest, row.info = result.digest, result.info.model_dump(mode="json")
    row.report = result.report.model_dump(mode="json")
    uploads.release(session, row.id)


def delete(session: Session, dataset_id: str) -> None:
    """No job can use it any more; models keep its name and digest.

    Raises DatasetImportingError, InUseError.
    """
    row = get_uploaded(session, dataset_id, taken)
    _require_idle(session, row)
    if users := jobs.active_jobs_naming(session, row.id) or jobs.active_jobs_on_data(session, row.id):
        raise InUseError(
            f"{row.id} is used by jobs that have not ended ({', '.join(users)}). End those first."
        )
    row.deleted_at = db_now()
    uploads.release(session, row.id)
    artifacts.remove_of(session, row.id)


def _enqueue(session: Session, row: Dataset, upload: Upload, spec: ImportSpec) -> Job:
    job = jobs.enqueue(session, row.tenant_id, spec)
    row.job_id = upload.job_id = job.id
    session.flush()
    return job


def _require_fillable(session: Session, row: Dataset) -> None:
    if row.digest is not None:
        raise DatasetFilledError("The dataset has its images; they never change. Make another dataset.")
    _require_idle(session, row)


def _require_idle(session: Session, row: Dataset) -> None:
    job = None if row.job_id is None else jobs.get(session, row.job_id)
    if state_of(row, job) == "importing":
        raise DatasetImportingError(f"The job {row.job_id} is reading an upload; wait for it or cancel it.")
