"""/v1/models and /v1/architectures."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from core.catalog import ARCHITECTURES
from service import removal
from service.models import service
from service.models.schemas import ArchitectureView, ModelClassView, ModelPatch, ModelSearch, ModelView
from service.models.words import Alias
from service.platform.dependencies import CallerDep, Reader, Writer
from service.platform.openapi import problems
from service.platform.pagination import ListOf, PageDep
from service.registry.etags import IfMatch, tagged

router = APIRouter(prefix="/v1", tags=["models"])


@router.get("/architectures", operation_id="architectures_list")
def list_architectures(caller: CallerDep) -> ListOf[ArchitectureView]:  # noqa: ARG001 - asking it authenticates
    """The architectures a training job can name."""
    return ListOf[ArchitectureView].of(
        [ArchitectureView(**info.model_dump()) for info in ARCHITECTURES.values()]
    )


@router.get("/models", operation_id="models_list")
def list_models(
    session: Reader, page: PageDep, wanted: Annotated[ModelSearch, Depends()]
) -> ListOf[ModelView]:
    """Trained models, newest first unless sorted otherwise."""
    return service.list_models(session, wanted, page)


@router.get("/models/{model_id}", operation_id="models_get")
def get_model(model_id: str, session: Reader, response: Response) -> ModelView:
    """One model: classes, figures, files, and the job and dataset it came from.

    `name@alias`, `name@version` and `name@latest` find it too, here and in every path below.
    """
    return tagged(service.describe(session, model_id), response)


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
    """Remove a model that has no modules and no compositions."""
    removal.remove_model(session, model_id, if_match)
