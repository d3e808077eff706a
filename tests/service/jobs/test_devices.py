"""A training that asks for a GPU never meets a worker that was told to use none."""

from typing import Any

from sqlalchemy import update

from service.dispatcher import Dispatcher
from service.jobs import leases, validation
from service.jobs.tables import Job, OutboxMessage, Worker
from service.platform.clock import db_now
from service.platform.database import Database
from service.platform.settings import Settings
from tests.fixtures.jobs import claimed, queued, read_job
from tests.service.jobs.test_dispatcher import Recorder


def add(database: Database, name: str, device: str) -> None:
    with database.write() as session:
        session.add(Worker(id=f"wrk_{name}", hostname="h", pid=1, queues=["train"], device=device))


def test_it_waits_for_a_gpu_and_holds_up_nobody(database: Database, tenant: str, settings: Settings) -> None:
    wanting = [queued(database, tenant, device="cuda", priority=90) for _ in range(2)]
    others = [queued(database, tenant, device=device) for device in ("auto", "cpu")]
    broker = Recorder()

    def published(*workers: tuple[str, str]) -> list[str]:
        for worker in workers:
            add(database, *worker)
        broker.published.clear()
        Dispatcher(database, broker, settings).relay("train")
        return [job_id for job_id, _ in broker.published]

    assert published(("a", "cpu")) == others[:1]
    assert published(("b", "cpu"), ("c", "GPU-1")) == [wanting[0], others[1]]
    claimed(database, wanting[0], owner="wrk_c")
    assert published(("d", "cpu"), ("e", "cpu")) == []
    assert published(("f", "auto")) == [wanting[1]]


def test_a_hint_that_came_to_the_wrong_worker_goes_back(database: Database, tenant: str) -> None:
    add(database, "cpu", "cpu")
    add(database, "gpu", "cuda:0")
    job_id = queued(database, tenant, device="cuda")
    with database.write() as session:
        session.get_one(OutboxMessage, job_id).published = 1
    with database.write() as session:
        assert leases.claim(session, job_id, "wrk_cpu", 60.0) is None
    with database.read() as session:
        hint = session.get_one(OutboxMessage, job_id)
        assert (hint.published, hint.publish_at > read_job(database, job_id).available_at) == (0, True)
    claimed(database, job_id, owner="wrk_gpu")


def test_one_that_came_late_does_not_shorten_the_pause_after_a_failed_attempt(
    database: Database, tenant: str
) -> None:
    add(database, "cpu", "cpu")
    job_id = queued(database, tenant, device="cuda")
    available: Any = db_now() + 60_000
    with database.write() as session:
        session.execute(update(Job).values(available_at=available))
    with database.write() as session:
        assert leases.claim(session, job_id, "wrk_cpu", 60.0) is None
    with database.read() as session:
        assert session.get_one(OutboxMessage, job_id).publish_at == read_job(database, job_id).available_at


def test_a_worker_without_a_gpu_checks_it(database: Database, tenant: str) -> None:
    add(database, "cpu", "cpu")
    job_id = queued(database, tenant, device="cuda", architecture="torchvision:resnet18")
    with database.write() as session:
        assert validation.claim(session, job_id, "wrk_cpu", 60.0) is not None
