"""Datasets: the built-in ones, the uploaded ones, and the versions that jobs have used."""

from collections.abc import Collection
from typing import Any

from sqlalchemy.orm import Session

from core.catalog import DATASETS, DatasetInfo
from service.datasets import repository
from service.datasets.schemas import DatasetDetail, DatasetState, DatasetVersion, DatasetView
from service.datasets.tables import Dataset
from service.jobs import service as jobs
from service.jobs.states import TERMINAL
from service.jobs.tables import Job
from service.platform.errors import DataRootMissingError, DatasetNotReadyError, NotFoundError
from service.platform.holding import Lock, held, unlocked
from service.platform.pagination import ListOf, PageRequest
from service.platform.settings import Settings

_UNKNOWN: dict[str, Any] = {
    "class_names": [], "input_shape": None, "train": 0, "validation": 0, "test": 0, "needs_data_root": False,
    "files": [], "mean": None, "std": None, "crop_padding": None, "flip": None,
}  # fmt: skip


def list_datasets(session: Session, settings: Settings, page: PageRequest) -> ListOf[DatasetView]:
    """On the first page every built-in dataset; then those that were uploaded, newest first."""
    built_in = [_built_in(info, settings) for info in DATASETS.values()] if page.after is None else []
    found = repository.page_of_uploaded(session, page)
    known = jobs.by_ids(session, {row.job_id for row in found.rows if row.job_id is not None})
    uploaded = [_uploaded(row, known.get(row.job_id or "")) for row in found.rows]
    views = [DatasetView.model_validate(content) for content in [*built_in, *uploaded]]
    return ListOf[DatasetView].of(views, found.next_cursor)


def describe(session: Session, settings: Settings, key: str) -> DatasetDetail:
    """One dataset, by the name of a built-in one or the id of an uploaded one."""
    if key in DATASETS:
        versions = [
            DatasetVersion.model_validate(row, from_attributes=True)
            for row in repository.versions(session, key)
        ]
        nothing = {"job_id": None, "options": None, "report": None, "error": None}
        return DatasetDetail(**_built_in(DATASETS[key], settings), **nothing, versions=versions)
    return describe_uploaded(session, get_uploaded(session, key))


def describe_uploaded(session: Session, row: Dataset) -> DatasetDetail:
    """An uploaded dataset with its report."""
    job = None if row.job_id is None else jobs.by_ids(session, [row.job_id]).get(row.job_id)
    content: dict[str, Any] = {
        "job_id": row.job_id,
        "options": row.options,
        "report": row.report,
        "versions": [],
    }
    error = job.error if job is not None and row.digest is None else None
    return DatasetDetail(**_uploaded(row, job), **content, error=error)


def get_uploaded(session: Session, dataset_id: str, lock: Lock = unlocked) -> Dataset:
    """The row, or NotFoundError."""
    row = repository.uploaded(session, dataset_id, lock)
    if row is None:
        raise NotFoundError("There is no dataset with this name or id; GET /v1/datasets lists them.")
    return row


def state_of(row: Dataset, job: Job | None) -> DatasetState:
    """What the row and its newest import say."""
    if row.digest is not None:
        return "ready"
    if job is None:
        return "awaiting_upload"
    return "failed" if job.state in TERMINAL else "importing"


def require_usable(session: Session, settings: Settings, key: str) -> DatasetInfo:
    """What the dataset of a job is that this transaction is about to write.

    Raises DataRootMissingError, NotFoundError, DatasetNotReadyError.
    """
    if key not in DATASETS:
        row = get_uploaded(session, key, held)
        if row.digest is None:
            raise DatasetNotReadyError(
                "The dataset has no images yet; complete an upload and wait for its job."
            )
        return DatasetInfo.model_validate(row.info)
    info = DATASETS[key]
    if not _available(info, settings):
        raise DataRootMissingError(
            f"The dataset {key} needs its files on the server: set CLEAVE_DATA_ROOT to the folder "
            f"that holds {', '.join(info.files)}, and restart."
        )
    return info


def by_ids(session: Session, ids: Collection[str]) -> dict[str, Dataset]:
    return repository.by_ids(session, ids)


def of_model(session: Session, dataset_id: str | None) -> Dataset | None:
    """The dataset of a model, also where it was deleted since; None for a model of none."""
    return None if dataset_id is None else repository.by_ids(session, [dataset_id])[dataset_id]


def record(session: Session, *, tenant_id: str, name: str, digest: str) -> str:
    """The id of the dataset version a job has used, recorded if it is new."""
    if name in repository.by_ids(session, [name]):
        return name
    info = DATASETS[name].model_dump(mode="json") if name in DATASETS else {}
    return repository.ensure(session, tenant_id=tenant_id, name=name, digest=digest, info=info)


def _built_in(info: DatasetInfo, settings: Settings) -> dict[str, Any]:
    known = {"id": None, "source": "built_in", "state": "ready", "digest": None, "created_at": None}
    return {**info.model_dump(mode="json"), **known, "available": _available(info, settings)}


def _uploaded(row: Dataset, job: Job | None) -> dict[str, Any]:
    state = state_of(row, job)
    own = {name: getattr(row, name) for name in ("id", "name", "digest", "created_at")}
    own["description"] = row.description or row.info.get("description", "")
    return {**_UNKNOWN, **row.info, **own, "source": "upload", "state": state, "available": state == "ready"}


def _available(info: DatasetInfo, settings: Settings) -> bool:
    root = settings.data_root
    return not info.needs_data_root or (
        root is not None and all((root / name).is_file() for name in info.files)
    )
