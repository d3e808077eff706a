"""/, /docs, /livez, /readyz and /version: for load balancers and people; no API key."""

import logging
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from service import migrate
from service.platform import reference
from service.platform.database import Database, reason_of
from service.platform.dependencies import DatabaseDep, StoreCheckDep
from service.platform.errors import UnavailableError
from service.platform.openapi import problems
from service.platform.store_check import StoreCheck
from service.platform.version import service_version

_LOG = logging.getLogger(__name__)
router = APIRouter(tags=["operation"])
_ROOT: dict[str, Any] = {
    "name": "cleave",
    "summary": "Trains neural networks that come apart by class, and composes their modules on request.",
    "links": {
        "documentation": "/docs",
        "openapi": "/openapi.json",
        "jobs": "/v1/jobs",
        "datasets": "/v1/datasets",
        "architectures": "/v1/architectures",
        "models": "/v1/models",
        "modules": "/v1/modules",
        "compositions": "/v1/compositions",
        "ready": "/readyz",
    },
}


class Root(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{**_ROOT, "version": "0.1.0"}]})

    name: str
    version: str
    summary: str
    links: dict[str, str]


class Alive(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "alive"}]})

    status: str


class Ready(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"status": "ready", "checks": {"database": "ok", "schema": "ok", "artifact_store": "ok"}}
            ]
        }
    )

    status: str
    checks: dict[str, str]


class Version(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"version": "0.1.0", "api": "v1", "schema_revision": "20261121_012648"}]
        }
    )

    version: str
    api: str
    schema_revision: str


@router.get("/", operation_id="operation_root")
def root() -> Root:
    """What this is, and where to go on."""
    return Root(**_ROOT, version=service_version())


@router.get("/docs", include_in_schema=False)
def show_reference(request: Request) -> HTMLResponse:
    """The API's document, for people."""
    return HTMLResponse(reference.page(request.app.openapi()), headers=reference.HEADERS)


@router.get("/livez", operation_id="operation_livez")
def live() -> Alive:
    """The process answers."""
    return Alive(status="alive")


@router.get("/readyz", operation_id="operation_readyz", responses=problems(503))
def ready(database: DatabaseDep, store: StoreCheckDep) -> Ready:
    """Requests can be served: the database answers, its schema is this version's, artifacts can be stored."""
    checks = check_parts(database, store)
    failed = [f"{name}: {state}" for name, state in checks.items() if state != "ok"]
    if failed:
        raise UnavailableError("; ".join(failed), checks=checks)
    return Ready(status="ready", checks=checks)


def check_parts(database: Database, store: StoreCheck) -> dict[str, str]:
    """Each part and "ok" or what is wrong with it. The reason goes to the log: it names hosts and folders."""
    checks = {"database": _check_database(database)}
    checks["schema"] = _check_schema(database) if checks["database"] == "ok" else "not checked"
    checks["artifact_store"] = store.state()
    return checks


@router.get("/version", operation_id="operation_version")
def show_version() -> Version:
    """What is running."""
    return Version(version=service_version(), api="v1", schema_revision=migrate.head())


def _check_database(database: Database) -> str:
    try:
        with database.read() as session:
            session.execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        _LOG.warning("not ready: the database does not answer: %s", reason_of(error))
        return f"does not answer ({type(error).__name__})"
    return "ok"


def _check_schema(database: Database) -> str:
    try:
        revision = migrate.current(database.engine)
    except SQLAlchemyError as error:
        _LOG.warning("not ready: the schema cannot be read: %s", reason_of(error))
        return f"cannot be read ({type(error).__name__})"
    # A newer one is served, as at the start: during an upgrade the database is ahead of what still runs, and
    # a balancer must not take all of it away at once.
    if revision == migrate.head() or (revision is not None and revision not in migrate.revisions()):
        return "ok"
    state = f"{'has no tables' if revision is None else f'is at {revision}'}; run `cleave db upgrade`"
    _LOG.warning("not ready: the schema %s", state)
    return state
