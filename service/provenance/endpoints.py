"""Lineage, cards and comparisons of models, modules and compositions."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Header, Response
from sqlalchemy.orm import Session

from service.platform.dependencies import Reader
from service.platform.openapi import problems
from service.provenance import cards, comparison, lineage
from service.provenance.comparison import Ids
from service.provenance.markdown import markdown
from service.provenance.schemas import CardView, ComparisonView, LineageView

router = APIRouter(prefix="/v1")

_MARKDOWN = "text/markdown"
_CARD: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "JSON, or Markdown for `Accept: text/markdown`.",
        "content": {_MARKDOWN: {"schema": {"type": "string"}, "example": "# small_cnn for 3\n"}},
    }
}
Accept = Annotated[str, Header(max_length=1000, include_in_schema=False)]


@router.get("/models/compare", operation_id="models_compare", tags=["models"], responses=problems(404))
def compare_models(session: Reader, ids: Ids) -> ComparisonView:
    """Models side by side, with what differs."""
    return comparison.of_models(session, ids)


@router.get("/modules/compare", operation_id="modules_compare", tags=["modules"], responses=problems(404))
def compare_modules(session: Reader, ids: Ids) -> ComparisonView:
    """Modules side by side, with what differs."""
    return comparison.of_modules(session, ids)


@router.get(
    "/compositions/compare",
    operation_id="compositions_compare",
    tags=["compositions"],
    responses=problems(404),
)
def compare_compositions(session: Reader, ids: Ids) -> ComparisonView:
    """Compositions side by side, with what differs; figures of one that is not built yet are null."""
    return comparison.of_compositions(session, ids)


@router.get("/models/{model_id}/lineage", operation_id="models_lineage", tags=["models"])
def model_lineage(model_id: str, session: Reader) -> LineageView:
    """Which dataset, job, attempt, code and seed made the model, and what is made of it."""
    return lineage.of_model(session, model_id)


@router.get("/modules/{module_id}/lineage", operation_id="modules_lineage", tags=["modules"])
def module_lineage(module_id: str, session: Reader) -> LineageView:
    """Which model, job, attempt, code and data made the module, and which compositions use it."""
    return lineage.of_module(session, module_id)


@router.get(
    "/compositions/{composition_id}/lineage", operation_id="compositions_lineage", tags=["compositions"]
)
def composition_lineage(composition_id: str, session: Reader) -> LineageView:
    """Which modules, model, job, attempt, code and data made the composition."""
    return lineage.of_composition(session, composition_id)


@router.get(
    "/models/{model_id}/card", operation_id="models_card", tags=["models"], responses=_CARD,
    response_model=CardView,
)  # fmt: skip
def model_card(model_id: str, session: Reader, accept: Accept = "") -> CardView | Response:
    """What one should know before using the model."""
    return _answer(cards.of_model, session, model_id, accept)


@router.get(
    "/modules/{module_id}/card", operation_id="modules_card", tags=["modules"], responses=_CARD,
    response_model=CardView,
)  # fmt: skip
def module_card(module_id: str, session: Reader, accept: Accept = "") -> CardView | Response:
    """What one should know before using the module."""
    return _answer(cards.of_module, session, module_id, accept)


@router.get(
    "/compositions/{composition_id}/card", operation_id="compositions_card", tags=["compositions"],
    responses=_CARD, response_model=CardView,
)  # fmt: skip
def composition_card(composition_id: str, session: Reader, accept: Accept = "") -> CardView | Response:
    """What one should know before using the composition."""
    return _answer(cards.of_composition, session, composition_id, accept)


def _answer(
    make: Callable[[Session, str], CardView], session: Session, owner_id: str, accept: str
) -> CardView | Response:
    card = make(session, owner_id)
    if not _prefers_markdown(accept):
        return card
    return Response(markdown(card), media_type=f"{_MARKDOWN}; charset=utf-8", headers={"Vary": "Accept"})


def _prefers_markdown(accept: str) -> bool:
    """JSON unless the header gives Markdown a higher weight, or the same one earlier."""
    highest, markdown_leads = 0.0, False
    for part in accept.lower().split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        given = [_weight(p.removeprefix("q=")) for p in parameters if p.startswith("q=")]
        weight = given[0] if given else 1.0
        if media in (_MARKDOWN, "application/json") and weight > highest:
            highest, markdown_leads = weight, media == _MARKDOWN
    return markdown_leads


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
