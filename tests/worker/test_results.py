"""A result that cannot be kept: the attempt ends with a cause. The runner is warm: it is not what fails."""

import errno
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import select

from service.artifacts.tables import Artifact
from service.models.tables import Model
from service.platform.database import Database
from service.platform.errors import UnavailableError
from service.platform.storage import ArtifactStore, StoredBlob
from service.tenants.service import limit_tenant
from tests.fixtures.jobs import queued, read_job
from tests.worker.test_execution import attempts_of
from worker.context import WorkerContext
from worker.execution import execute
from worker.warm import RunnerPool


class Full:
    """A store without room."""

    def ingest(self, _: Path) -> StoredBlob:
        raise OSError(errno.ENOSPC, "no space left")


class Away:
    """A store that does not answer."""

    def ingest(self, _: Path) -> StoredBlob:
        raise UnavailableError("The artifact store does not answer.")


class Broken:
    """A store with a mistake in it."""

    def ingest(self, path: Path) -> StoredBlob:
        raise KeyError(path.name)


class Shrinking:
    """A store whose tenant's share is taken away while it is filled."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context

    def ingest(self, path: Path) -> StoredBlob:
        with self._context.database.write() as session:
            limit_tenant(session, "default", {"max_stored_mib": 0})
        return self._context.store.ingest(path)


@pytest.fixture(scope="module")
def runners() -> Iterator[RunnerPool]:
    pool = RunnerPool(keep_warm=True, jobs_per_runner=9)
    yield pool
    pool.close()


@pytest.fixture
def context(context: WorkerContext, runners: RunnerPool) -> WorkerContext:
    return replace(context, runners=runners)


@pytest.mark.parametrize(("store", "cause"), [(Full(), "infra"), (Away(), "infra"), (Broken(), "internal")])
def test_a_store_that_fails_when_a_result_is_there_ends_the_attempt_with_a_cause(
    store: object, cause: str, database: Database, tenant: str, context: WorkerContext
) -> None:
    job_id = queued(database, tenant, epochs=1, max_train_samples=64)
    execute(replace(context, store=cast(ArtifactStore, store)), job_id)
    assert read_job(database, job_id).state == "queued"
    assert [(a.outcome, a.cause) for a in attempts_of(database, job_id)] == [("failed", cause)]


@pytest.mark.parametrize("when", ["before", "while it is stored"])
def test_results_larger_than_the_tenants_share_fail_the_job_and_are_not_kept(
    database: Database, tenant: str, context: WorkerContext, when: str
) -> None:
    used = context
    if when == "before":
        with database.write() as session:
            limit_tenant(session, "default", {"max_stored_mib": 0})
    else:
        used = replace(context, store=cast(ArtifactStore, Shrinking(context)))
    job_id = queued(database, tenant, epochs=1, max_train_samples=64)
    execute(used, job_id)
    job = read_job(database, job_id)
    assert job.error is not None
    assert (job.state, job.error["code"], job.error["cause"]) == (
        "failed",
        "storage_quota_exceeded",
        "user",
    )
    assert (when == "before") == (not list(context.store.blobs()))
    with database.read() as session:
        assert [*session.scalars(select(Artifact.id)), *session.scalars(select(Model.id))] == []
