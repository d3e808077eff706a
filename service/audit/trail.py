"""Writes the audit log: one row for each request that could change something, before its answer is sent."""

import structlog
from fastapi.concurrency import run_in_threadpool
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.audit.tables import AuditEvent
from service.platform.database import Database
from service.platform.ids import new_id

_CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})

_log = structlog.get_logger(__name__)


class AuditTrail:
    """ASGI: whoever has seen the answer can rely on the row; where it cannot be written, the log says so.

    Requests without a valid key belong to no tenant: they are in the service's log only.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in _CHANGING:
            await self._app(scope, receive, send)
            return

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start" and "caller" in scope["state"]:
                event = _event(scope, message)
                await run_in_threadpool(_write, scope["app"].state.database, event)
            await send(message)

        await self._app(scope, receive, noted)


def record(session: Session, tenant_id: str, operation: str, resource: str) -> None:
    """A change that was made where the database is, in its own transaction."""
    event = AuditEvent(operation=operation, resource=resource, status=200)
    event.id, event.tenant_id = new_id("aud"), tenant_id
    session.add(event)


def _event(scope: Scope, answer: Message) -> AuditEvent:
    state, caller = scope["state"], scope["state"]["caller"]
    return AuditEvent(
        id=new_id("aud"),
        tenant_id=caller.tenant_id,
        key_id=caller.key_id,
        operation=getattr(scope.get("route"), "operation_id", None) or "unknown",
        resource=_resource(scope, answer),
        status=answer["status"],
        request_id=state.get("request_id"),
        address=scope["client"][0] if scope.get("client") else None,
    )


def _resource(scope: Scope, answer: Message) -> str | None:
    """What the answer says was made, else the last id of the path."""
    for name, value in answer.get("headers", []):
        if name.lower() == b"location":
            return str(value.decode("latin-1").rpartition("/")[2])[:200]
    ids = [value for name, value in scope.get("path_params", {}).items() if name.endswith("_id")]
    return str(ids[-1])[:200] if ids else None


def _write(database: Database, event: AuditEvent) -> None:
    try:
        with database.write() as session:
            session.add(event)
    except (
        SQLAlchemyError
    ) as error:  # also where no connection is free: the change is made, and has its answer
        _log.error("audit_not_written", operation=event.operation, reason=type(error).__name__)
