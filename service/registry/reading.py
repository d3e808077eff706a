"""Reading models, modules and compositions: rendered once for each revision of each.

A row's revision is read before anything that is told of it. What is rendered under it is as new as the
revision or newer, so that whoever reads that revision later is told nothing older.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Select, bindparam, select
from sqlalchemy.orm import Bundle, Session

from service.platform.answers import Answer, answers_of, tag_of
from service.platform.errors import NotFoundError
from service.platform.pagination import Page

Seen = tuple[str, int]  # a row's id and revision
Views = Callable[[Session, Sequence[str]], Iterable[BaseModel]]
Find = Callable[[Session, str], Seen | None]
Around = Callable[[Any], dict[str, Any]]


@cache
def seen(entity: Any) -> "Bundle[Any]":
    """What is selected of a row to answer with what is told of it."""
    return Bundle("seen", entity.id, entity.revision)


def seen_by_id(session: Session, entity: Any, row_id: str) -> Seen | None:
    """The same of the tenant's row of this id, without the ORM: half of what a read costs is this.

    So it is told here which tenant's; a session of no tenant sees none.
    """
    wanted = {"tenant_id": session.info["tenant_id"], "id": row_id}
    row = session.connection().execute(_by_id(entity), wanted).first()
    return None if row is None else (row.id, row.revision)


@cache
def _by_id(entity: Any) -> Select[Any]:
    table = entity.__table__.c
    own = (table.tenant_id == bindparam("tenant_id"), table.id == bindparam("id"))
    return select(table.id, table.revision).where(*own)


def one(session: Session, asked: tuple[str, str], find: Find, views: Views) -> Answer:
    """The answer that tells of one row, or NotFoundError.

    Args:
        asked: What kind of thing, in a word, and its id.
        views: What is told of the rows of these ids, unrendered.
    """
    found = find(session, asked[1])
    answers = _answers(session, [] if found is None else [found], views)
    if not answers:
        raise NotFoundError.of(*asked)
    (answer,) = answers.values()
    return answer


def page(session: Session, found: Page[Seen], views: Views) -> Answer:
    """The answer that lists them, as `ListOf` would be rendered."""
    return _list(_answers(session, found.rows, views).values(), found.next_cursor)


def page_of_named(session: Session, found: Page[Any], views: Views, name: str, around: Around) -> Answer:
    """The same of rows that begin like `Seen`: each as the field `name`, after those `around` tells of it."""
    answers = _answers(session, [(row[0], row[1]) for row in found.rows], views)
    bodies = (
        b"%b,%b:%b}" % (_json(around(row))[:-1], _json(name), answers[row[0]].body)
        for row in found.rows
        if row[0] in answers
    )
    return _list(map(Answer, bodies), found.next_cursor)


def _answers(session: Session, found: Sequence[Seen], views: Views) -> dict[str, Answer]:
    """Id -> the answer, of each that still is there, in their order."""
    kept = answers_of(session)
    known = {row_id: kept.get((row_id, revision)) for row_id, revision in found}
    new = {row_id: revision for row_id, revision in found if known[row_id] is None}
    for view in views(session, list(new)) if new else ():
        body = view.model_dump_json().encode()
        row_id: str = view.id  # type: ignore[attr-defined]  # every view of these has one
        known[row_id] = answer = Answer(body, tag_of(body))
        kept.put((row_id, new[row_id]), answer)
    return {row_id: answer for row_id, answer in known.items() if answer is not None}


def _list(answers: Iterable[Answer], cursor: str | None) -> Answer:
    end = _json({"has_more": cursor is not None, "next_cursor": cursor})
    body = b'{"data":[' + b",".join(answer.body for answer in answers) + b"]," + end[1:]
    return Answer(body, next_cursor=cursor)


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
