"""One key, one job: in sequence, at once, and after a failure."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from core.specs import TrainSpec
from service.jobs import service
from service.jobs.creation import Answer, create_once
from service.jobs.tables import IdempotencyRecord, Job
from service.platform.database import Database
from service.platform.errors import IdempotencyKeyReusedError
from tests.fixtures.jobs import train_spec


def create(database: Database, tenant: str, key: str | None, spec: TrainSpec) -> Answer:
    request = ("/v1/jobs", key, spec.model_dump(mode="json"))
    return create_once(database, tenant, request, lambda s: service.enqueue(s, tenant, spec))


def count_jobs(database: Database) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(Job)) or 0


def test_twenty_at_once_make_one_job(database: Database, tenant: str) -> None:
    spec = train_spec()
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: create(database, tenant, "key-1", spec), range(20)))
    assert count_jobs(database) == 1
    assert len({answer.job_id for answer in answers}) == 1
    assert sum(not answer.replayed for answer in answers) == 1
    assert all(answer.body == answers[0].body for answer in answers)


def test_another_body_is_refused_and_another_key_is_another_job(database: Database, tenant: str) -> None:
    create(database, tenant, "key-1", train_spec(epochs=1))
    with pytest.raises(IdempotencyKeyReusedError):
        create(database, tenant, "key-1", train_spec(epochs=2))
    create(database, tenant, "key-2", train_spec(epochs=1))
    create(database, tenant, None, train_spec(epochs=1))
    assert count_jobs(database) == 3


def test_a_request_that_failed_leaves_the_key_free(database: Database, tenant: str) -> None:
    def refuse(_: object) -> Job:
        raise LookupError

    spec = train_spec()
    with pytest.raises(LookupError):
        create_once(database, tenant, ("/v1/jobs", "key-1", spec.model_dump(mode="json")), refuse)
    with database.read() as session:
        assert session.scalars(select(IdempotencyRecord)).all() == []
    assert create(database, tenant, "key-1", spec).replayed is False
