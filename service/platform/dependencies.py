"""What endpoints ask for: the caller, a session, the store, the settings."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, cast

from fastapi import Depends, Request, Security
from fastapi.concurrency import run_in_threadpool
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from service.platform.database import Database, is_away, is_unreachable
from service.platform.errors import ForbiddenScopeError, RateLimitedError, UnauthorizedError
from service.platform.rate_limits import RateLimiter
from service.platform.recent import Recent
from service.platform.scopes import scope_for
from service.platform.settings import Settings
from service.platform.storage import ArtifactStore
from service.platform.store_check import StoreCheck
from service.tenants import keys, repository
from service.tenants.service import Caller, default_caller

_USE_NOTED_S = repository.USE_NOTED_MS / 1000
_BEARER = HTTPBearer(auto_error=False, description="An API key: `Authorization: Bearer cleave_...`.")
_HEADER = APIKeyHeader(name="X-API-Key", auto_error=False, description="The same key in a header of its own.")


# `async`, because FastAPI gives each plain function a thread, which costs more than what these do.
async def get_database(request: Request) -> Database:
    return cast(Database, request.app.state.database)


async def get_store(request: Request) -> ArtifactStore:
    return cast(ArtifactStore, request.app.state.store)


async def get_store_check(request: Request) -> StoreCheck:
    return cast(StoreCheck, request.app.state.store_check)


async def get_settings(request: Request) -> Settings:
    return cast(Settings, request.app.state.settings)


async def get_pepper(request: Request) -> bytes:
    return cast(bytes, request.app.state.pepper)


PepperDep = Annotated[bytes, Depends(get_pepper)]
DatabaseDep = Annotated[Database, Depends(get_database)]
StoreDep = Annotated[ArtifactStore, Depends(get_store)]
StoreCheckDep = Annotated[StoreCheck, Depends(get_store_check)]
SettingsDep = Annotated[Settings, Depends(get_settings)]


async def get_base_url(request: Request, settings: SettingsDep) -> str:
    """How this caller reaches the service: what CLEAVE_PUBLIC_URL says, else as the request came."""
    return (settings.public_url or str(request.base_url)).rstrip("/")


BaseUrl = Annotated[str, Depends(get_base_url)]


async def get_caller(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)],
    header: Annotated[str | None, Security(_HEADER)],
) -> Caller:
    """Who calls, by API key. Raises UnauthorizedError, and ForbiddenScopeError for what the key may not do.

    Who was found is remembered for a second: so long may a key that another process revokes be good here.
    """
    return await admit(request, bearer.credentials if bearer else header or "")


async def admit(request: Request, presented: str) -> Caller:
    """`get_caller` of the key that was presented; may be called for any route."""
    settings: Settings = request.app.state.settings
    if settings.auth and not presented:
        raise UnauthorizedError("Send an API key: `Authorization: Bearer cleave_...`.")
    recent: Recent[str, Caller] = request.app.state.callers
    caller = recent.get(presented)
    if caller is None:
        state = request.app.state
        look_up = partial(_look_up, state.database, settings, state.pepper, presented)
        caller = await state.shared.call(("caller", presented), look_up)
        recent.put(presented, caller)
    request.state.caller = caller  # for the audit log, refusals too
    await _count(caller, request)
    _require_scope(caller, request)
    return caller


async def _count(caller: Caller, request: Request) -> None:
    """Raises RateLimitedError; what is left is told in the headers of every answer."""
    limiter: RateLimiter | None = request.app.state.limiter
    if limiter is None:
        return
    verdict = await run_in_threadpool(limiter.hit, caller.key_id or caller.tenant_id)
    if verdict is None:
        return
    request.state.headers = verdict.headers
    if not verdict.allowed:
        refusal = RateLimitedError(f"This key may send {verdict.limit} requests at a time; wait.")
        refusal.headers = {"Retry-After": str(verdict.reset_s)}
        raise refusal


def _require_scope(caller: Caller, request: Request) -> None:
    needed = scope_for(getattr(request.scope.get("route"), "operation_id", None), request.method)
    if not caller.scope.includes(needed):
        raise ForbiddenScopeError(f"This needs a key of scope {needed}; this one's is {caller.scope}.")


def _look_up(database: Database, settings: Settings, pepper: bytes, presented: str) -> Caller:
    with database.read() as session:
        if not settings.auth:
            return default_caller(session)
        caller, used = keys.authenticate(session, pepper, presented)
    if used is None or (datetime.now(UTC) - used).total_seconds() > _USE_NOTED_S:
        _note_use(database, caller)
    return caller


def _note_use(database: Database, caller: Caller) -> None:
    """The database decides by its own clock; where it cannot write now, a later request does.

    Raises SQLAlchemyError where it does not answer: what the request asks next would wait as long again.
    """
    try:
        with database.write(caller.tenant_id) as session:
            repository.note_use(session, str(caller.key_id))
    except SQLAlchemyError as error:
        if not is_away(error) or is_unreachable(error):
            raise


CallerDep = Annotated[Caller, Depends(get_caller)]


async def read_session(database: DatabaseDep, caller: CallerDep) -> AsyncIterator[Session]:
    """A session that sees the caller's rows only.

    Opening and closing it reads nothing and waits for nobody, so it needs no thread; a writer's commit does.
    """
    with database.read(caller.tenant_id) as session:
        yield session


def write_session(database: DatabaseDep, caller: CallerDep) -> Iterator[Session]:
    """A session that sees the caller's rows only and commits before the answer is sent."""
    with database.write(caller.tenant_id) as session:
        yield session


Reader = Annotated[Session, Depends(read_session, scope="function")]
Writer = Annotated[Session, Depends(write_session, scope="function")]
