"""Answers to reads as bytes, so that what has not changed is rendered once."""

import hashlib
from dataclasses import dataclass
from typing import Annotated, TypeVar, cast

from pydantic import AfterValidator
from sqlalchemy.orm import Session
from starlette.datastructures import Headers
from starlette.responses import Response

from service.platform.kept import Kept
from service.platform.links import tell_next

KEPT_BYTES = 64 << 20
# What a kept answer weighs beside its body: key, tag, and the objects around them.
_OVERHEAD_BYTES = 600


ValueT = TypeVar("ValueT")


def _in_one_order(found: dict[str, ValueT]) -> dict[str, ValueT]:
    return dict(sorted(found.items(), key=lambda item: (len(item[0].encode()), item[0])))


# PostgreSQL keeps the keys of a JSON value in this order, SQLite as they came: from both, and from one that
# was restored from the other, the same is answered under the same tag.
InOneOrder = Annotated[dict[str, ValueT], AfterValidator(_in_one_order)]


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON document, its entity-tag where it has one, and the cursor of a list that goes on."""

    body: bytes
    etag: str | None = None
    next_cursor: str | None = None

    def to(self, headers: Headers) -> Response:
        """The response; 304 to who names the tag in `If-None-Match`, as one has it already."""
        tell_next(self.next_cursor)
        if self.etag is None:
            return Response(self.body, media_type="application/json")
        tag = {"ETag": self.etag}
        if is_named(self.etag, headers.get("if-none-match")):
            return Response(status_code=304, headers=tag)
        return Response(self.body, media_type="application/json", headers=tag)


def tag_of(body: bytes) -> str:
    """A strong entity-tag: whatever changes in the answer, changes the tag."""
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def is_named(tag: str, header: str | None) -> bool:
    """Whether `If-None-Match` names the tag, by the weak comparison that RFC 9110 asks for there."""
    if header is None:
        return False
    named = {part.strip().removeprefix("W/") for part in header.split(",")}
    return not named.isdisjoint({"*", tag})


# (id, revision) of a row -> what is told of it.
KeptAnswers = Kept[tuple[str, int], Answer]


def kept_answers() -> KeptAnswers:
    return KeptAnswers(KEPT_BYTES, lambda answer: len(answer.body) + _OVERHEAD_BYTES)


def answers_of(session: Session) -> KeptAnswers:
    """What the process that opened this session keeps."""
    return cast(KeptAnswers, session.info["answers"])
