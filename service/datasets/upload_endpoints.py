"""/v1/datasets/{id}/uploads: a file in parts, which may come in any order and again."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from service.datasets import uploading
from service.datasets.endpoints import DatasetKey
from service.jobs.creation import accepted, create_once
from service.jobs.idempotency import IdempotencyKey, Once
from service.jobs.schemas import JobRead
from service.platform.dependencies import CallerDep, DatabaseDep, Reader, Writer
from service.platform.openapi import problems
from service.uploads import receiving
from service.uploads import service as uploads
from service.uploads.receiving import PART_ANSWERS, PART_BODY, ContentDigest, ReceiverDep
from service.uploads.schemas import PartNumber, UploadCreate, UploadId, UploadView

router = APIRouter(prefix="/v1/datasets/{dataset_id}/uploads", tags=["datasets"])


@router.post("", operation_id="datasets_uploads_create", status_code=201, responses=problems(409, 507))
def create_upload(
    dataset_id: DatasetKey,
    request: UploadCreate,
    session: Writer,
    caller: CallerDep,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> UploadView:
    """Announce a file. Send its parts, then complete it."""
    route = f"/v1/datasets/{dataset_id}/uploads"
    once = Once(session, caller.tenant_id, route, idempotency_key, request.model_dump(mode="json"))
    made = once.made(
        response, UploadView, lambda: uploading.open_upload(session, caller.tenant_id, dataset_id, request)
    )
    response.headers["Location"] = f"{route}/{made.id}"
    return made


@router.get("/{upload_id}", operation_id="datasets_uploads_get")
def get_upload(dataset_id: DatasetKey, upload_id: UploadId, session: Reader) -> UploadView:
    """The parts that are there, and those to send: where to go on after an interruption."""
    return uploads.describe(session, uploading.find_upload(session, dataset_id, upload_id))


@router.put(
    "/{upload_id}/parts/{number}",
    operation_id="datasets_uploads_part",
    status_code=204,
    openapi_extra=PART_BODY,
    responses=PART_ANSWERS,
)
async def put_part(
    dataset_id: DatasetKey,
    upload_id: UploadId,
    number: PartNumber,
    request: Request,
    into: ReceiverDep,
    content_digest: ContentDigest = None,  # noqa: ARG001 - documents the header, which `receive` reads
) -> Response:
    """One part as the raw body. Repeating it is harmless; the last one sent counts."""
    return await receiving.take_part(
        request,
        into,
        lambda session, lock: uploading.find_upload(session, dataset_id, upload_id, lock),
        number,
    )


@router.post(
    "/{upload_id}/complete",
    operation_id="datasets_uploads_complete",
    status_code=202,
    response_model=JobRead,
    responses=problems(409, 429),
)
async def complete_upload(
    dataset_id: DatasetKey,
    upload_id: UploadId,
    caller: CallerDep,
    database: DatabaseDep,
    idempotency_key: IdempotencyKey = None,
) -> JSONResponse:
    """Every part is there: a job reads the file. Asked again: that job, or after a failure a new one."""
    route = f"/v1/datasets/{dataset_id}/uploads/{upload_id}/complete"
    answer = await run_in_threadpool(
        create_once,
        database,
        caller.tenant_id,
        (route, idempotency_key, None),
        lambda session: uploading.complete(session, dataset_id, upload_id),
    )
    return await accepted(database, caller.tenant_id, answer, 0.0)
