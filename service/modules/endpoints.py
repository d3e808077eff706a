"""/v1/modules, /v1/models/{id}/modules and /v1/classes."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from service import removal
from service.modules import service
from service.modules.schemas import ClassMatch, ClassSearch, ModuleSearch, ModuleView
from service.platform.dependencies import Reader, Writer
from service.platform.openapi import problems
from service.platform.pagination import ListOf, PageDep
from service.registry.etags import IfMatch, tagged
from service.registry.labels import LabelsPatch

router = APIRouter(prefix="/v1", tags=["modules"])


@router.get("/modules", operation_id="modules_list")
def list_modules(
    session: Reader, page: PageDep, wanted: Annotated[ModuleSearch, Depends()]
) -> ListOf[ModuleView]:
    """Modules, newest first unless sorted otherwise."""
    return service.list_modules(session, wanted, page)


@router.get("/modules/{module_id}", operation_id="modules_get")
def get_module(module_id: str, session: Reader, response: Response) -> ModuleView:
    """One module: classes, form, sizes, figures and files."""
    return tagged(service.describe(session, module_id), response)


@router.patch("/modules/{module_id}", operation_id="modules_update", responses=problems(412))
def change_module(
    module_id: str, patch: LabelsPatch, session: Writer, response: Response, if_match: IfMatch = None
) -> ModuleView:
    """Change tags and metadata."""
    return tagged(service.change(session, module_id, patch, if_match), response)


@router.get("/models/{model_id}/modules", operation_id="models_modules")
def list_modules_of_model(model_id: str, session: Reader, page: PageDep) -> ListOf[ModuleView]:
    """The modules extracted from a model, newest first."""
    return service.list_of_model(session, model_id, page)


@router.get("/classes", operation_id="classes_list")
def list_modules_for_class(
    session: Reader, page: PageDep, wanted: Annotated[ClassSearch, Depends()]
) -> ListOf[ClassMatch]:
    """Which modules, of which models, know this class, best first by validation data."""
    return service.list_for_class(session, wanted, page)


@router.delete(
    "/modules/{module_id}", operation_id="modules_delete", status_code=204, responses=problems(409, 412)
)
def delete_module(module_id: str, session: Writer, if_match: IfMatch = None) -> None:
    """Remove a module that is in no composition."""
    removal.remove_module(session, module_id, if_match)
