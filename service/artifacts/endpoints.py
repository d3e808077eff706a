"""/v1/artifacts."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from service.artifacts import content, service
from service.artifacts.schemas import ArtifactDetail
from service.platform.dependencies import Reader, StoreDep
from service.platform.openapi import binary_response, problems

router = APIRouter(prefix="/v1/artifacts", tags=["artifacts"])

_CONTENT: dict[int | str, dict[str, Any]] = {
    200: binary_response("The whole content."),
    206: binary_response("The range that was asked for."),
    302: {
        "description": "The bucket has the content, at this address for some minutes (CLEAVE_S3_REDIRECT)."
    },
    304: {"description": "The caller has this content already (If-None-Match)."},
    **problems(412, 416),
}


@router.head("/{artifact_id}", include_in_schema=False)
@router.get("/{artifact_id}", operation_id="artifacts_get")
def get_artifact(artifact_id: str, session: Reader) -> ArtifactDetail:
    """What a file is, how large, and what it belongs to."""
    return service.describe(session, artifact_id)


@router.get(
    "/{artifact_id}/content",
    operation_id="artifacts_download",
    responses=_CONTENT,
    response_class=Response,
)
def download_artifact(artifact_id: str, request: Request, session: Reader, store: StoreDep) -> Response:
    """The content. Resume with `Range` and `If-Range`; the ETag is the sha256 to verify by."""
    return content.respond(service.get(session, artifact_id), store, request.headers, "GET")


@router.head("/{artifact_id}/content", include_in_schema=False)
def inspect_artifact(artifact_id: str, request: Request, session: Reader, store: StoreDep) -> Response:
    return content.respond(service.get(session, artifact_id), store, request.headers, "HEAD")
