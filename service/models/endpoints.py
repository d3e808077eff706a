"""/v1/models and /v1/architectures."""

from typing import Annotated

from fastapi import APIRouter, Depends

from core.catalog import ARCHITECTURES
from service import removal
from service.models import service
from service.models.schemas import ArchitectureView, ModelClassView, ModelSearch, ModelView
from service.platform.dependencies import CallerDep, Reader, Writer
from service.platform.openapi import problems
from service.platform.pagination import ListOf, PageDep

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
def get_model(model_id: str, session: Reader) -> ModelView:
    """One model: classes, figures, files, and the job and dataset it came from."""
    return service.describe(session, model_id)


@router.get("/models/{model_id}/classes", operation_id="models_classes")
def list_classes(model_id: str, session: Reader) -> ListOf[ModelClassView]:
    """The classes of a model in the order of its outputs."""
    return service.describe_classes(session, model_id)


@router.delete("/models/{model_id}", operation_id="models_delete", status_code=204, responses=problems(409))
def delete_model(model_id: str, session: Writer) -> None:
    """Remove a model that has no modules and no compositions."""
    removal.remove_model(session, model_id)
