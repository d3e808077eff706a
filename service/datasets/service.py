"""Datasets: the built-in ones, whether their files are there, and the versions that jobs have used."""

from collections.abc import Collection

from sqlalchemy.orm import Session

from core.catalog import DATASETS, DatasetInfo
from service.datasets import repository
from service.datasets.schemas import DatasetDetail, DatasetVersion, DatasetView
from service.datasets.tables import Dataset
from service.platform.errors import DataRootMissingError, NotFoundError
from service.platform.settings import Settings


def list_datasets(settings: Settings) -> list[DatasetView]:
    """Every built-in dataset."""
    return [
        DatasetView(**info.model_dump(), available=_available(info, settings)) for info in DATASETS.values()
    ]


def describe(session: Session, settings: Settings, name: str) -> DatasetDetail:
    """One dataset and the versions that the caller's jobs have used."""
    if name not in DATASETS:
        raise NotFoundError("There is no dataset with this name; GET /v1/datasets lists them.")
    info = DATASETS[name]
    versions = [
        DatasetVersion(id=row.id, digest=row.digest, created_at=row.created_at)
        for row in repository.versions(session, name)
    ]
    return DatasetDetail(**info.model_dump(), available=_available(info, settings), versions=versions)


def require_files(settings: Settings, name: str) -> None:
    """Refuse a job whose dataset cannot be read. Raises DataRootMissingError."""
    info = DATASETS[name]
    if not _available(info, settings):
        raise DataRootMissingError(
            f"The dataset {name} needs its files on the server: set CLEAVE_DATA_ROOT to the folder "
            f"that holds {', '.join(info.files)}, and restart."
        )


def by_ids(session: Session, ids: Collection[str]) -> dict[str, Dataset]:
    return repository.by_ids(session, ids)


def record(session: Session, *, tenant_id: str, name: str, digest: str) -> str:
    """The id of the dataset version a job has used, recorded if it is new."""
    info = DATASETS[name].model_dump(mode="json") if name in DATASETS else {}
    return repository.ensure(session, tenant_id=tenant_id, name=name, digest=digest, info=info)


def _available(info: DatasetInfo, settings: Settings) -> bool:
    root = settings.data_root
    return not info.needs_data_root or (
        root is not None and all((root / name).is_file() for name in info.files)
    )
