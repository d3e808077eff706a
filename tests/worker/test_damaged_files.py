"""A stored file that is gone, or is no longer what it was: the job fails, and its caller is not blamed."""

from pathlib import Path
from typing import Any

import pytest

from service import submission
from service.models import service as models
from service.platform.database import Database
from service.platform.settings import Settings
from tests.fixtures.database import copy_sqlite, settings_for
from tests.fixtures.jobs import read_job, train_spec
from tests.worker.test_execution import attempts_of
from tests.worker.test_teacher import TINY, stored_model
from worker.context import WorkerContext
from worker.execution import execute


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = settings_for(tmp_path, ready_runner=False, max_attempts=1)
    copy_sqlite(made)
    return made


@pytest.fixture
def model_id(database: Database, tenant: str, context: WorkerContext, tmp_path: Path) -> str:
    return stored_model(database, tenant, context, tmp_path / "model")


def files_of(database: Database, tenant: str, context: WorkerContext, model_id: str) -> dict[str, Path]:
    with database.read(tenant) as session:
        found = models.describe(session, model_id).artifacts
    return {file.role: context.store.path(file.sha256) for file in found}


def learn(database: Database, tenant: str, context: WorkerContext, model_id: str) -> dict[str, Any]:
    """The error of a training that reads the model's weights and recipe."""
    with database.write(tenant) as session:
        spec = train_spec(teacher_model_id=model_id, approach={"name": "standard"}, **TINY)
        job_id = submission.submit(session, tenant, spec).id
    execute(context, job_id)
    (attempt,) = attempts_of(database, job_id)
    error = read_job(database, job_id).error
    assert error is not None
    assert (attempt.cause, error["cause"]) == ("internal", "internal")
    return error


@pytest.mark.parametrize("role", ["weights", "recipe"])
def test_a_damaged_file_is_the_services_fault(
    database: Database, tenant: str, context: WorkerContext, model_id: str, role: str
) -> None:
    path = files_of(database, tenant, context, model_id)[role]
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    error = learn(database, tenant, context, model_id)
    assert error["code"] == "artifact_damaged"
    assert path.name in error["message"]
    assert "cleave verify" in error["message"]


def test_so_is_one_that_is_gone(
    database: Database, tenant: str, context: WorkerContext, model_id: str
) -> None:
    files_of(database, tenant, context, model_id)["weights"].unlink()
    assert learn(database, tenant, context, model_id)["code"] == "artifact_missing"
