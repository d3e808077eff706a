"""/v1/compositions."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from service import removal, submission
from service.compositions import service
from service.compositions.schemas import ComposeRequest, CompositionAnswer, CompositionSearch, CompositionView
from service.jobs.idempotency import IdempotencyKey
from service.platform.dependencies import CallerDep, Writer
from service.platform.openapi import problems
from service.platform.pagination import ListOf, PageDep
from service.platform.repeats import AskedDep
from service.registry.etags import IfMatch, tagged
from service.registry.labels import LabelsPatch

router = APIRouter(prefix="/v1/compositions", tags=["compositions"])

_EXISTS: dict[int | str, dict[str, Any]] = {
    200: {"model": CompositionAnswer, "description": "It exists already."},
    **problems(404, 409, 429),
}


@router.post("", operation_id="compositions_create", status_code=202, responses=_EXISTS)
def create_composition(
    request: ComposeRequest,
    session: Writer,
    caller: CallerDep,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> CompositionAnswer:
    """Join modules of one model into one classifier. An identical request answers with the one there is.

    Without `module_ids`, each class gets the single-class module with the best validation f1, preferring
    modules that were extracted in the form asked for; without `model_id`, the model that knows all the
    classes best.
    """
    answer = submission.compose_once(session, caller.tenant_id, request, idempotency_key)
    response.status_code = 200 if answer.body.composition.ready else 202
    response.headers.update(answer.headers)
    return answer.body


@router.get("", operation_id="compositions_list", response_model=ListOf[CompositionView])
def list_compositions(
    asked: AskedDep, page: PageDep, wanted: Annotated[CompositionSearch, Depends()]
) -> Response:
    """Compositions, newest first unless sorted otherwise. Sorted by size, those that are built."""
    return asked.answer(partial(service.read_page, wanted=wanted, page=page))


@router.get("/{composition_id}", operation_id="compositions_get", response_model=CompositionView)
def get_composition(composition_id: str, asked: AskedDep) -> Response:
    """One composition: members, classes, sizes, figures and files."""
    return asked.answer(partial(service.read, composition_id=composition_id))


@router.patch("/{composition_id}", operation_id="compositions_update", responses=problems(412))
def change_composition(
    composition_id: str, patch: LabelsPatch, session: Writer, response: Response, if_match: IfMatch = None
) -> CompositionView:
    """Change tags and metadata."""
    return tagged(service.change(session, composition_id, patch, if_match), response)


@router.delete(
    "/{composition_id}", operation_id="compositions_delete", status_code=204, responses=problems(409, 412)
)
def delete_composition(composition_id: str, session: Writer, if_match: IfMatch = None) -> None:
    """Remove a composition; its modules stay, and an identical request builds it again."""
    removal.remove_composition(session, composition_id, if_match)
