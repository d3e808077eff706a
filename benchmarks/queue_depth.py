"""What one dispatch costs while many jobs wait: the real dispatcher, database and broker"""

import time
from typing import Any

from sqlalchemy import insert, update

from benchmarks.installation import Mode, fresh_settings
from service.dispatcher import Dispatcher
from service.jobs import leases, service
from service.jobs.endings import Failed, settle
from service.jobs.tables import Job, OutboxMessage, Worker
from service.platform.clock import db_now
from service.platform.database import Database
from service.platform.settings import Settings
from service.queue import CeleryPublisher, create_celery, prepare_broker
from service.tenants.service import ensure_tenant
from tests.fixtures.database import migrated
from tests.fixtures.jobs import train_spec

WORKERS = 4
PASSES = 25
OWNER = "wrk_benchmark"


class Watched:
    """A publisher that notes what it passes on."""

    def __init__(self, publisher: CeleryPublisher) -> None:
        self._publisher = publisher
        self.published: list[str] = []

    def publish(self, job_id: str, queue: str) -> None:
        self._publisher.publish(job_id, queue)
        self.published.append(job_id)

    def check(self) -> None:
        self._publisher.check()


def measure(mode: Mode, depth: int) -> dict[str, Any]:
    """The dispatcher's milliseconds per dispatched job, wall and processor, while `depth` jobs wait."""
    wall = cpu = 0.0
    dispatched = 0
    with fresh_settings(mode) as settings, migrated(settings) as database, create_celery(settings) as app:
        prepare_broker(settings)
        watched = Watched(CeleryPublisher(app))
        dispatcher = Dispatcher(database, watched, settings)
        _fill(database, depth)
        dispatcher.once()
        for _ in range(PASSES):
            _work(database, settings, watched.published)
            watched.published.clear()
            began, spent = time.perf_counter(), time.thread_time()
            dispatcher.once()
            wall += time.perf_counter() - began
            cpu += time.thread_time() - spent
            dispatched += len(watched.published)
        began = time.perf_counter()
        dispatcher.reap()
        reap = time.perf_counter() - began
    return {
        "depth": depth,
        "dispatched": dispatched,
        "wall_ms_per_dispatch": round(1000 * wall / dispatched, 2),
        "cpu_ms_per_dispatch": round(1000 * cpu / dispatched, 2),
        "reap_ms": round(1000 * reap, 2),
    }


def _fill(database: Database, depth: int) -> None:
    """Copies of one job as the service queues it."""
    with database.write() as session:
        job = service.enqueue(session, ensure_tenant(session), train_spec())
        for row in (job, session.get_one(OutboxMessage, job.id)):
            session.refresh(row)
            key = "id" if isinstance(row, Job) else "job_id"
            content = {name: getattr(row, name) for name in list(row.__mapper__.column_attrs.keys())}
            copies = [content | {key: f"{job.id}{number}"} for number in range(1, depth)]
            session.execute(insert(type(row)), copies)
        session.add_all(
            Worker(id=f"{OWNER}{number}", hostname="h", pid=number, queues=["train"])
            for number in range(WORKERS)
        )


def _work(database: Database, settings: Settings, job_ids: list[str]) -> None:
    """What workers do with the hints, so that they are idle again; another job takes each one's place."""
    with database.write() as session:
        session.execute(update(Worker).values(heartbeat_at=db_now()))
    for job_id in job_ids:
        with database.write() as session:
            claim = leases.claim(session, job_id, OWNER, 60.0)
            if claim is not None:
                settle(session, claim.lease, Failed("measured", "Only a measurement.", "user"), settings)
                service.enqueue(session, claim.tenant_id, train_spec())
