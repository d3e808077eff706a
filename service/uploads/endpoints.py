"""/v1/uploads: a file in parts, which may come in any order and again. A model can be made of it."""

from fastapi import APIRouter, Request, Response

from service.jobs.idempotency import IdempotencyKey, Once
from service.platform.dependencies import CallerDep, Reader, Writer
from service.platform.openapi import problems
from service.uploads import receiving, service
from service.uploads.receiving import PART_ANSWERS, PART_BODY, ContentDigest, ReceiverDep
from service.uploads.schemas import PartNumber, UploadCreate, UploadId, UploadView

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])


@router.post("", operation_id="uploads_create", status_code=201, responses=problems(507))
def create_upload(
    request: UploadCreate,
    session: Writer,
    caller: CallerDep,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> UploadView:
    """Announce a file. Send its parts, then name it where it is needed: POST /v1/models."""
    once = Once(session, caller.tenant_id, "/v1/uploads", idempotency_key, request.model_dump(mode="json"))
    made = once.made(response, UploadView, lambda: service.create(session, caller.tenant_id, None, request))
    response.headers["Location"] = f"/v1/uploads/{made.id}"
    return made


@router.get("/{upload_id}", operation_id="uploads_get")
def get_upload(upload_id: UploadId, session: Reader) -> UploadView:
    """The parts that are there, and those to send: where to go on after an interruption."""
    return service.describe(session, service.find(session, upload_id))


@router.put(
    "/{upload_id}/parts/{number}",
    operation_id="uploads_part",
    status_code=204,
    openapi_extra=PART_BODY,
    responses=PART_ANSWERS,
)
async def put_part(
    upload_id: UploadId,
    number: PartNumber,
    request: Request,
    into: ReceiverDep,
    content_digest: ContentDigest = None,  # noqa: ARG001 - documents the header, which `receive` reads
) -> Response:
    """One part as the raw body. Repeating it is harmless; the last one sent counts."""
    return await receiving.take_part(
        request, into, lambda session, lock: service.find(session, upload_id, lock), number
    )
