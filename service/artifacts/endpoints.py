"""/v1/artifacts."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from service.artifacts import content, service
from service.artifacts.schemas import ArtifactDetail, SignedLink, SignRequest
from service.artifacts.signing import Signature, Signer
from service.platform import store_threads
from service.platform.dependencies import BaseUrl, DatabaseDep, Reader, StoreDep
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


def get_signer(request: Request) -> Signer:
    return Signer(request.app.state.pepper)


def get_signature(
    exp: Annotated[int, Query(ge=0, le=1 << 53, description="Until when, in seconds since 1970.")],
    kid: Annotated[str, Query(max_length=16, description="Which key signed it.")],
    sig: Annotated[str, Query(max_length=64, description="The signature.")],
) -> Signature:
    return Signature(exp, kid, sig)


SignerDep = Annotated[Signer, Depends(get_signer)]
SignatureDep = Annotated[Signature, Depends(get_signature)]


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
@store_threads.endpoint
def download_artifact(artifact_id: str, request: Request, session: Reader, store: StoreDep) -> Response:
    """The content. Resume with `Range` and `If-Range`; the ETag is the sha256 to verify by."""
    return content.respond(
        content.of_artifact(service.get_alone(session, artifact_id), store), request.headers, "GET"
    )


@router.head("/{artifact_id}/content", include_in_schema=False)
@store_threads.endpoint
def inspect_artifact(artifact_id: str, request: Request, session: Reader, store: StoreDep) -> Response:
    return content.respond(
        content.of_artifact(service.get_alone(session, artifact_id), store), request.headers, "HEAD"
    )


@router.post("/{artifact_id}/sign", operation_id="artifacts_sign")
def sign_artifact(
    artifact_id: str, session: Reader, signer: SignerDep, base_url: BaseUrl, request: SignRequest
) -> SignedLink:
    """A link for somebody without an API key: it opens this content, for so long, and nothing else."""
    return service.sign(session, signer, artifact_id, request.ttl_s, base_url)


@router.get(
    "/{artifact_id}/signed",
    operation_id="artifacts_download_signed",
    responses=_CONTENT | problems(403, 410),
    response_class=Response,
)
@store_threads.endpoint
def download_signed(
    artifact_id: str,
    request: Request,
    database: DatabaseDep,
    store: StoreDep,
    signer: SignerDep,
    signature: SignatureDep,
) -> Response:
    """The content, by a link from `POST /v1/artifacts/{id}/sign`; no API key."""
    with database.read() as session:
        artifact = service.get_signed(session, signer, artifact_id, signature)
    return content.respond(content.of_artifact(artifact, store), request.headers, request.method)


router.head("/{artifact_id}/signed", include_in_schema=False)(download_signed)
