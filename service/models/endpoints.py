"""/v1/models and /v1/architectures."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from core.catalog import ARCHITECTURES
from service import removal
from service.jobs.creation import accepted, create_once
from service.jobs.idempotency import IdempotencyKey
from service.jobs.schemas import JobRead
from service.models import importing, service
from service.models.schemas import (
    ArchitectureView,
    ModelClassView,
    ModelImport,
    ModelPatch,
    ModelSearch,
    ModelView,
)
from service.models.words import Alias
from service.platform.dependencies import CallerDep, DatabaseDep, Reader, Writer
from service.platform.openapi import problems
from service.platform.pagination import ListOf, PageDep
from service.platform.repeats import AskedDep
from service.registry.etags import IfMatch, tagged

router = APIRouter(prefix="/v1", tags=["models"])


@router.get("/architectures", operation_id="architectures_list")
def list_architectures(caller: CallerDep) -> ListOf[ArchitectureView]:  # noqa: ARG001 - asking it authenticates
    """The architectures a training job can name."""
    return ListOf[ArchitectureView].of(
        [ArchitectureView(**info.model_dump()) for info in ARCHITECTURES.values()]
    )


@router.get("/models", operation_id="models_list", response_model=ListOf[ModelView])
def list_models(asked: AskedDep, page: PageDep, wanted: Annotated[ModelSearch, Depends()]) -> Response:
    """Trained models, newest first unless sorted otherwise."""
    return asked.answer(partial(service.read_page, wanted=wanted, page=page))


@router.post(
    "/models",
    operation_id="models_import",
    status_code=202,
    response_model=JobRead,
    responses=problems(404, 409, 429),
)
async def import_model(
    request: ModelImport, caller: CallerDep, database: DatabaseDep, idempotency_key: IdempotencyKey = None
) -> JSONResponse:
    """Make a model of uploaded weights: a job reads them, by the names and shapes of the architecture."""
    answer = await run_in_threadpool(
        create_once,
        database,
        caller.tenant_id,
        ("/v1/models", idempotency_key, request.model_dump(mode="json")),
        lambda session: importing.submit(session, caller.tenant_id, request),
    )
    return await accepted(database, caller.tenant_id, answer, 0.0)


@router.get("/models/{model_id}", operation_id="models_get", response_model=ModelView)
def get_model(model_id: str, asked: AskedDep) -> Response:
    """One model: classes, figures, files, and the job and dataset it came from.

    `name@alias`, `name@version` and `name@latest` find it too, here and in every path below.
    """
    return asked.answer(partial(service.read, model_id=model_id))


@router.patch("/models/{model_id}", operation_id="models_update", responses=problems(412))
def change_model(
    model_id: str, patch: ModelPatch, session: Writer, response: Response, if_match: IfMatch = None
) -> ModelView:
    """Change tags, metadata and name. With a name, the model is its next version."""
    return tagged(service.change(session, model_id, patch, if_match), response)


@router.put(
    "/models/{model_id}/aliases/{alias}", operation_id="models_put_alias", responses=problems(409, 412)
)
def put_alias(
    model_id: str, alias: Alias, session: Writer, response: Response, if_match: IfMatch = None
) -> ModelView:
    """Let `name@alias` mean this model, from now on; it may have meant another version of the name."""
    return tagged(service.point(session, model_id, alias, if_match), response)


@router.delete(
    "/models/{model_id}/aliases/{alias}",
    operation_id="models_delete_alias",
    status_code=204,
    responses=problems(412),
)
def delete_alias(model_id: str, alias: Alias, session: Writer, if_match: IfMatch = None) -> None:
    """Let `name@alias` mean nothing any more."""
    service.release(session, model_id, alias, if_match)


@router.get("/models/{model_id}/classes", operation_id="models_classes")
def list_classes(model_id: str, session: Reader) -> ListOf[ModelClassView]:
    """The classes of a model in the order of its outputs."""
    return service.describe_classes(session, model_id)


@router.delete(
    "/models/{model_id}", operation_id="models_delete", status_code=204, responses=problems(409, 412)
)
def delete_model(model_id: str, session: Writer, if_match: IfMatch = None) -> None:
    """Remove a model that has no modules and no compositions, and from which no model started."""
    removal.remove_model(session, model_id, if_match)
