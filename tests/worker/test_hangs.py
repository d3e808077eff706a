"""What hangs or is stopped for longer than a lease, and goes on later: real processes, nothing done twice."""

import hashlib
import itertools
import os
import signal
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import event, select
from sqlalchemy.exc import DisconnectionError

from core.specs import ExtractSpec
from service.jobs import service
from service.jobs.tables import Checkpoint, Worker
from service.platform.database import Database
from service.platform.settings import Settings
from service.queue import CeleryPublisher, create_celery, prepare_broker
from tests.fixtures import redis as redis_fixture
from tests.fixtures.database import default_tenant, settings_for
from tests.fixtures.jobs import queued, read_job
from tests.fixtures.proxy import Proxy
from tests.fixtures.waiting import children_of, command_of, eventually
from tests.worker.test_brokers import running_dispatcher, running_worker
from tests.worker.test_execution import ENDLESS, attempts_of
from worker import context as module
from worker.context import Presence, WorkerContext

_TRIES_OF_POOL = 2


def workers(database: Database) -> list[Worker]:
    with database.read() as session:
        return list(session.scalars(select(Worker)))


def checkpoints_of(database: Database, attempt: int) -> list[Checkpoint]:
    with database.read() as session:
        return list(session.scalars(select(Checkpoint).where(Checkpoint.attempt == attempt)))


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_stopped_supervisor_s_runner_ends_and_the_next_attempt_is_left_in_peace(
    settings: Settings, database: Database, tenant: str
) -> None:
    # The hint of the second attempt may be heard by the worker that is stopped.
    changed = {"lease_ttl_s": 6.0, "publish_timeout_s": 2.0, "ready_runner": True}
    brief = settings.model_copy(update=changed)
    prepare_broker(brief)
    with running_dispatcher(brief, database), running_worker(brief, database, queue="train"):
        job_id = queued(database, tenant, **ENDLESS)
        eventually(lambda: checkpoints_of(database, 1))
        (process,) = (worker.pid for worker in workers(database))
        supervisor = next(pid for pid in children_of(process) if "-m worker --queue" in command_of(pid))
        (runner,) = (pid for pid in children_of(supervisor) if "worker.runner" in command_of(pid))
        os.kill(supervisor, signal.SIGSTOP)
        eventually(lambda: command_of(runner) == "")
        with running_worker(brief, database, number=2, queue="train"):
            eventually(lambda: checkpoints_of(database, 2))
            os.kill(supervisor, signal.SIGCONT)
            # It starts its next runner when it has given this job up.
            eventually(lambda: any("worker.runner" in command_of(pid) for pid in children_of(supervisor)))
            known = len(checkpoints_of(database, 2))
            eventually(lambda: len(checkpoints_of(database, 2)) > known + 2)
            with database.write() as session:
                service.cancel(session, job_id)
            eventually(lambda: read_job(database, job_id).state == "cancelled")
    assert [attempt.outcome for attempt in attempts_of(database, job_id)] == ["lost", "cancelled"]
    folder = settings.checkpoint_root / job_id
    last = max(checkpoints_of(database, 2), key=lambda point: (point.epoch, point.step))
    assert hashlib.sha256((folder / last.path).read_bytes()).hexdigest() == last.sha256


@pytest.mark.slow
@pytest.mark.services
@pytest.mark.timeout(180)
def test_a_worker_whose_connection_to_the_broker_is_lost_without_a_word_connects_again(
    postgres_database: str, redis: str, tmp_path: Path
) -> None:
    values = {"database_url": postgres_database, "broker_prefix": redis, "broker_timeout_s": 1.0}
    direct = settings_for(tmp_path, broker_url=redis_fixture.URL, **values)
    database = Database(direct)
    tenant = default_tenant(database)

    def has_failed(job_id: str, publisher: CeleryPublisher) -> bool:
        publisher.publish(job_id, "short")  # what the lost connection had asked for is lost, too
        return read_job(database, job_id).state == "failed"

    with Proxy(redis_fixture.PORT) as proxy, create_celery(direct) as app:
        url = f"redis://127.0.0.1:{proxy.port}/0"
        with running_worker(direct.model_copy(update={"broker_url": url}), database):
            for _ in range(2):
                with database.write() as session:
                    # It fails by name before it needs a runner: its model does not exist.
                    job_id = service.enqueue(session, tenant, ExtractSpec(model_id="mdl_none")).id
                eventually(partial(has_failed, job_id, CeleryPublisher(app)), 60)
                for _ in range(20):  # lost while it takes and acknowledges messages
                    CeleryPublisher(app).publish(job_id, "short")
                proxy.lose()
    database.dispose()


def test_a_worker_reports_in_again_whatever_its_database_was_up_to(
    context: WorkerContext, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections that die as soon as they are made are no error of the driver's kind."""
    tries = itertools.count()

    @event.listens_for(context.database.engine, "checkout")
    def _taken(*_: object) -> None:
        if next(tries) < 2 * _TRIES_OF_POOL:
            raise DisconnectionError

    monkeypatch.setattr(module, "_PRESENCE_S", 0.1)
    presence = Presence(context)
    presence.start()
    try:
        eventually(lambda: workers(database), 10)
    finally:
        presence.finish()
