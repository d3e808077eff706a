"""/v1/datasets."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from service.datasets import service, uploading
from service.datasets.schemas import DatasetCreate, DatasetDetail, DatasetView
from service.jobs.idempotency import IdempotencyKey, Once
from service.platform.dependencies import CallerDep, Reader, SettingsDep, Writer
from service.platform.openapi import problems
from service.platform.pagination import ListOf, PageDep

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])
DatasetKey = Annotated[
    str, Path(max_length=64, description="The name of a built-in dataset, or the id of an uploaded one.")
]


@router.post("", operation_id="datasets_create", status_code=201)
def create_dataset(
    request: DatasetCreate,
    session: Writer,
    caller: CallerDep,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> DatasetDetail:
    """A dataset without images; then open an upload for it."""
    once = Once(session, caller.tenant_id, "/v1/datasets", idempotency_key, request.model_dump(mode="json"))
    made = once.made(
        response,
        DatasetDetail,
        lambda: service.describe_uploaded(session, uploading.create(session, caller.tenant_id, request)),
    )
    response.headers["Location"] = f"/v1/datasets/{made.id}"
    return made


@router.get("", operation_id="datasets_list")
def list_datasets(session: Reader, settings: SettingsDep, page: PageDep) -> ListOf[DatasetView]:
    """The built-in datasets, on the first page beyond `limit`; then yours, newest first."""
    return service.list_datasets(session, settings, page)


@router.get("/{dataset_id}", operation_id="datasets_get")
def get_dataset(dataset_id: DatasetKey, session: Reader, settings: SettingsDep) -> DatasetDetail:
    """One dataset: of a built-in one the versions that your jobs have used, of an uploaded one its report."""
    return service.describe(session, settings, dataset_id)


@router.delete("/{dataset_id}", operation_id="datasets_delete", status_code=204, responses=problems(409))
def delete_dataset(dataset_id: DatasetKey, session: Writer) -> None:
    """Remove an uploaded dataset and its files. Models trained on it stay, and name it."""
    uploading.delete(session, dataset_id)
