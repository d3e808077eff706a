"""/livez, /readyz and /version: for load balancers and people; no API key."""

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from service import migrate
from service.platform.database import Database
from service.platform.dependencies import DatabaseDep, StoreDep
from service.platform.errors import UnavailableError
from service.platform.openapi import problems
from service.platform.storage import ArtifactStore
from service.platform.version import service_version

router = APIRouter(tags=["operation"])


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


@router.get("/livez", operation_id="operation_livez")
def live() -> Alive:
    """The process answers."""
    return Alive(status="alive")


@router.get("/readyz", operation_id="operation_readyz", responses=problems(503))
def ready(database: DatabaseDep, store: StoreDep) -> Ready:
    """Requests can be served: the database answers, its schema is this version's, artifacts can be stored."""
    checks = {"database": _check_database(database)}
    checks["schema"] = _check_schema(database) if checks["database"] == "ok" else "not checked"
    checks["artifact_store"] = _check_store(store)
    failed = [f"{name}: {state}" for name, state in checks.items() if state != "ok"]
    if failed:
        raise UnavailableError("; ".join(failed), checks=checks)
    return Ready(status="ready", checks=checks)


@router.get("/version", operation_id="operation_version")
def show_version() -> Version:
    """What is running."""
    return Version(version=service_version(), api="v1", schema_revision=migrate.head())


def _check_database(database: Database) -> str:
    try:
        with database.read() as session:
            session.execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        return f"does not answer ({type(error).__name__})"
    return "ok"


def _check_schema(database: Database) -> str:
    try:
        revision = migrate.current(database.engine)
    except SQLAlchemyError as error:
        return f"cannot be read ({type(error).__name__})"
    return "ok" if revision == migrate.head() else f"is at {revision}; run `cleave db upgrade`"


def _check_store(store: ArtifactStore) -> str:
    try:
        store.check_writable()
    except OSError as error:
        return f"cannot be written ({type(error).__name__})"
    return "ok"
