"""What endpoints ask for: the caller, a session, the store, the settings."""

from collections.abc import Iterator
from typing import Annotated, cast

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.orm import Session

from service.platform.database import Database
from service.platform.errors import UnauthorizedError
from service.platform.settings import Settings
from service.platform.storage import ArtifactStore
from service.tenants.service import Caller, authenticate, default_caller

_BEARER = HTTPBearer(auto_error=False, description="An API key: `Authorization: Bearer cleave_...`.")
_HEADER = APIKeyHeader(name="X-API-Key", auto_error=False, description="The same key in a header of its own.")


def get_database(request: Request) -> Database:
    return cast(Database, request.app.state.database)


def get_store(request: Request) -> ArtifactStore:
    return cast(ArtifactStore, request.app.state.store)


def get_settings(request: Request) -> Settings:
    return cast(Settings, request.app.state.settings)


DatabaseDep = Annotated[Database, Depends(get_database)]
StoreDep = Annotated[ArtifactStore, Depends(get_store)]
SettingsDep = Annotated[Settings, Depends(get_settings)]


def get_base_url(request: Request, settings: SettingsDep) -> str:
    """How this caller reaches the service: what CLEAVE_PUBLIC_URL says, else as the request came."""
    return (settings.public_url or str(request.base_url)).rstrip("/")


BaseUrl = Annotated[str, Depends(get_base_url)]


def get_caller(
    request: Request,
    database: DatabaseDep,
    settings: SettingsDep,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)],
    header: Annotated[str | None, Security(_HEADER)],
) -> Caller:
    """Who calls, by API key. Raises UnauthorizedError."""
    with database.read() as session:
        if not settings.auth:
            return default_caller(session)
        presented = bearer.credentials if bearer else header
        if not presented:
            raise UnauthorizedError("Send an API key: `Authorization: Bearer cleave_...`.")
        return authenticate(session, request.app.state.pepper, presented)


CallerDep = Annotated[Caller, Depends(get_caller)]


def read_session(database: DatabaseDep, caller: CallerDep) -> Iterator[Session]:
    """A session that sees the caller's rows only."""
    with database.read(caller.tenant_id) as session:
        yield session


def write_session(database: DatabaseDep, caller: CallerDep) -> Iterator[Session]:
    """A session that sees the caller's rows only and commits before the answer is sent."""
    with database.write(caller.tenant_id) as session:
        yield session


Reader = Annotated[Session, Depends(read_session, scope="function")]
Writer = Annotated[Session, Depends(write_session, scope="function")]
