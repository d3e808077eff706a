"""Changing only what one has seen: an ETag of each answer, and `If-Match` against it (RFC 9110)."""

from typing import Annotated, TypeVar

from fastapi import Header, Response
from pydantic import BaseModel

from service.platform.answers import tag_of
from service.platform.errors import PreconditionFailedError

ViewT = TypeVar("ViewT", bound=BaseModel)

IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        max_length=1000,
        description="The ETag of the answer the change is based on; if it is another by now, 412.",
    ),
]


def etag_of(view: BaseModel) -> str:
    """The tag of the answer that tells this view."""
    return tag_of(view.model_dump_json().encode())


def tagged(view: ViewT, response: Response) -> ViewT:
    """The answer, with its tag in the headers."""
    response.headers["ETag"] = etag_of(view)
    return view


def require_match(if_match: str | None, view: BaseModel) -> None:
    """Raises PreconditionFailedError unless the header names the answer as it is now."""
    if if_match is None:
        return
    named = {tag.strip() for tag in if_match.split(",")}
    if named.isdisjoint({"*", etag_of(view)}):
        raise PreconditionFailedError("It has changed since the answer with that ETag; read it again.")
