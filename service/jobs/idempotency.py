"""Idempotency-Key: a creating POST that is repeated answers as it did the first time and creates nothing.

The record commits with what it answers for. A repeat that arrives before that commit waits for it (the unique
key's lock on PostgreSQL, the single writer on SQLite), so there is no "in progress" answer to handle.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Header, Response
from pydantic import BaseModel
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from service.jobs.tables import IdempotencyRecord
from service.platform.database import insert_if_absent
from service.platform.errors import IdempotencyKeyReusedError

AnswerT = TypeVar("AnswerT", bound=BaseModel)
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="Repeat a request with the same key and body, and it answers as it did the first time.",
    ),
]


@dataclass(frozen=True)
class StoredAnswer:
    """What the first request was answered."""

    status: int
    body: dict[str, Any]


@dataclass(frozen=True)
class Once:
    """One keyed request. `answer` before doing the work, `store` after it, in the same transaction."""

    session: Session
    tenant_id: str
    route: str
    key: str | None
    body: Any

    def answer(self) -> StoredAnswer | None:
        """The stored answer, or None: then the work is ours to do. Raises IdempotencyKeyReusedError."""
        if self.key is None or self._reserve():
            return None
        record = self.session.scalars(select(IdempotencyRecord).where(*self._identity())).one()
        if record.fingerprint != self._fingerprint():
            raise IdempotencyKeyReusedError(
                "This Idempotency-Key was used with another body; use a new key for a new request."
            )
        return StoredAnswer(status=record.status, body=record.body)

    def store(self, status: int, body: dict[str, Any]) -> None:
        """Keep the answer; it becomes true with the transaction."""
        if self.key is not None:
            self.session.execute(
                update(IdempotencyRecord).where(*self._identity()).values(status=status, body=body)
            )

    def made(self, response: Response, kind: type[AnswerT], make: Callable[[], AnswerT]) -> AnswerT:
        """What `make` returns (201), or what it returned the first time, which a header then says."""
        stored = self.answer()
        if stored is not None:
            response.headers["Idempotency-Replayed"] = "true"
            return kind.model_validate(stored.body)
        made = make()
        self.store(201, made.model_dump(mode="json"))
        return made

    def _reserve(self) -> bool:
        """Insert an empty record; False when there is one already."""
        values: dict[str, Any] = {
            "tenant_id": self.tenant_id,
            "route": self.route,
            "key": self.key,
            "fingerprint": self._fingerprint(),
            "status": 0,
            "body": {},
        }
        return insert_if_absent(self.session, IdempotencyRecord, values, key=["tenant_id", "route", "key"])

    def _identity(self) -> tuple[Any, ...]:
        return (
            IdempotencyRecord.tenant_id == self.tenant_id,
            IdempotencyRecord.route == self.route,
            IdempotencyRecord.key == self.key,
        )

    def _fingerprint(self) -> str:
        return hashlib.sha256(json.dumps(self.body, sort_keys=True).encode()).hexdigest()
