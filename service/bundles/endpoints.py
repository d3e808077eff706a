"""/v1/models|modules|compositions/{id}/manifest and /bundle."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from service.artifacts import content
from service.bundles import service
from service.bundles.schemas import Manifest
from service.compositions import service as compositions
from service.models import service as models
from service.modules import service as modules
from service.platform import store_threads
from service.platform.dependencies import Reader, StoreDep
from service.platform.openapi import binary_response, problems

router = APIRouter(prefix="/v1", tags=["artifacts"])

_BUNDLE: dict[int | str, dict[str, Any]] = {
    200: binary_response("The zip archive.", "application/zip"),
    206: binary_response("The range that was asked for.", "application/zip"),
    304: {"description": "The caller has this archive already (If-None-Match)."},
    **problems(409, 412, 416),
}


@router.get("/models/{model_id}/manifest", operation_id="models_manifest")
@store_threads.endpoint
def get_model_manifest(model_id: str, session: Reader, store: StoreDep) -> Manifest:
    """A model's files with their digests, and everything on record about it."""
    return service.manifest(session, store, models.describe(session, model_id))


@router.get("/modules/{module_id}/manifest", operation_id="modules_manifest")
@store_threads.endpoint
def get_module_manifest(module_id: str, session: Reader, store: StoreDep) -> Manifest:
    """A module's files with their digests, and everything on record about it and its model."""
    return service.manifest(session, store, modules.describe(session, module_id))


@router.get(
    "/compositions/{composition_id}/manifest", operation_id="compositions_manifest", responses=problems(409)
)
@store_threads.endpoint
def get_composition_manifest(composition_id: str, session: Reader, store: StoreDep) -> Manifest:
    """A composition's files with their digests, and everything on record about it and its model."""
    return service.manifest(session, store, compositions.describe(session, composition_id))


@router.head("/models/{model_id}/bundle", include_in_schema=False)
@router.get(
    "/models/{model_id}/bundle",
    operation_id="models_bundle",
    responses=_BUNDLE,
    response_class=Response,
)
@store_threads.endpoint
def get_model_bundle(model_id: str, request: Request, session: Reader, store: StoreDep) -> Response:
    """All files of a model with its manifest and their sums, as one zip."""
    bundle = service.bundle(session, store, models.describe(session, model_id))
    return content.respond(bundle, request.headers, request.method)


@router.head("/modules/{module_id}/bundle", include_in_schema=False)
@router.get(
    "/modules/{module_id}/bundle",
    operation_id="modules_bundle",
    responses=_BUNDLE,
    response_class=Response,
)
@store_threads.endpoint
def get_module_bundle(module_id: str, request: Request, session: Reader, store: StoreDep) -> Response:
    """All files of a module with its manifest and their sums, as one zip."""
    bundle = service.bundle(session, store, modules.describe(session, module_id))
    return content.respond(bundle, request.headers, request.method)


@router.head("/compositions/{composition_id}/bundle", include_in_schema=False)
@router.get(
    "/compositions/{composition_id}/bundle",
    operation_id="compositions_bundle",
    responses=_BUNDLE,
    response_class=Response,
)
@store_threads.endpoint
def get_composition_bundle(
    composition_id: str, request: Request, session: Reader, store: StoreDep
) -> Response:
    """All files of a composition with its manifest and their sums, as one zip."""
    bundle = service.bundle(session, store, compositions.describe(session, composition_id))
    return content.respond(bundle, request.headers, request.method)
