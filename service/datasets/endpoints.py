"""/v1/datasets."""

from fastapi import APIRouter

from service.datasets import service
from service.datasets.schemas import DatasetDetail, DatasetView
from service.platform.dependencies import CallerDep, Reader, SettingsDep
from service.platform.pagination import ListOf

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])


@router.get("", operation_id="datasets_list")
def list_datasets(caller: CallerDep, settings: SettingsDep) -> ListOf[DatasetView]:  # noqa: ARG001 - asking it authenticates
    """The built-in datasets and their fixed split protocols."""
    return ListOf[DatasetView].of(service.list_datasets(settings))


@router.get("/{name}", operation_id="datasets_get")
def get_dataset(name: str, session: Reader, settings: SettingsDep) -> DatasetDetail:
    """One dataset, and the versions of it that your jobs have used."""
    return service.describe(session, settings, name)
