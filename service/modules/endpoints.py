"""/v1/modules, /v1/models/{id}/modules and /v1/classes."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from service import removal
from service.modules import service
from service.modules.schemas import ClassMatch, ClassSearch, ModuleSearch, ModuleView
from service.platform.dependencies import Writer
from service.platform.openapi import problems
from service.platform.pagination import ListOf, PageDep
from service.platform.repeats import AskedDep
from service.registry.etags import IfMatch, tagged
from service.registry.labels import LabelsPatch

router = APIRouter(prefix="/v1", tags=["modules"])


@router.get("/modules", operation_id="modules_list", response_model=ListOf[ModuleView])
def list_modules(asked: AskedDep, page: PageDep, wanted: Annotated[ModuleSearch, Depends()]) -> Response:
    """Modules, newest first unless sorted otherwise."""
    return asked.answer(partial(service.read_page, wanted=wanted, page=page))


@router.get("/modules/{module_id}", operation_id="modules_get", response_model=ModuleView)
def get_module(module_id: str, asked: AskedDep) -> Response:
    """One module: classes, form, sizes, figures and files."""
    return asked.answer(partial(service.read, module_id=module_id))


@router.patch("/modules/{module_id}", operation_id="modules_update", responses=problems(412))
def change_module(
    module_id: str, patch: LabelsPatch, session: Writer, response: Response, if_match: IfMatch = None
) -> ModuleView:
    """Change tags and metadata."""
    return tagged(service.change(session, module_id, patch, if_match), response)


@router.get("/models/{model_id}/modules", operation_id="models_modules", response_model=ListOf[ModuleView])
def list_modules_of_model(model_id: str, asked: AskedDep, page: PageDep) -> Response:
    """The modules extracted from a model, newest first."""
    return asked.answer(partial(service.read_page_of_model, model_id=model_id, page=page))


@router.get("/classes", operation_id="classes_list", response_model=ListOf[ClassMatch])
def list_modules_for_class(
    asked: AskedDep, page: PageDep, wanted: Annotated[ClassSearch, Depends()]
) -> Response:
    """Which modules, of which models, know this class, best first by validation data."""
    return asked.answer(partial(service.read_page_for_class, wanted=wanted, page=page))


@router.delete(
    "/modules/{module_id}", operation_id="modules_delete", status_code=204, responses=problems(409, 412)
)
def delete_module(module_id: str, session: Writer, if_match: IfMatch = None) -> None:
    """Remove a module that is in no composition."""
    removal.remove_module(session, module_id, if_match)
