"""What one worker process holds: database, store, runners, its row in `workers`, the news of a shutdown."""

import logging
import os
import socket
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass

from sqlalchemy import delete, update
from sqlalchemy.exc import SQLAlchemyError

import service.tables  # noqa: F401 - foreign keys are resolved among all tables
from service.jobs.tables import Worker
from service.platform.clock import db_now
from service.platform.database import Database, reason_of
from service.platform.ids import new_id
from service.platform.settings import Settings
from service.platform.storage import ArtifactStore, open_store
from worker.devices import environment_for
from worker.warm import RunnerPool

_LOG = logging.getLogger(__name__)
_PRESENCE_S = 3.0


@dataclass(frozen=True)
class WorkerContext:
    """`owner` names this process in leases: random for each start, so that a restart is another worker.

    `pid`: of the process that hears SIGTERM; the one that runs jobs, its child, does not.
    """

    settings: Settings
    database: Database
    store: ArtifactStore
    runners: RunnerPool
    owner: str
    pid: int
    queues: Collection[str]
    draining: Callable[[], bool]


class Presence(threading.Thread):
    """Keeps this process's row in `workers` fresh; the dispatcher sends hints to workers that are there."""

    def __init__(self, context: WorkerContext) -> None:
        super().__init__(name="presence", daemon=True)
        self._context = context
        self._database = context.database
        self._owner = context.owner
        self._finished = threading.Event()

    def run(self) -> None:
        while True:
            try:
                self._report_in()
            except SQLAlchemyError as error:
                _LOG.warning("not reported in: %s", reason_of(error))
            if self._finished.wait(_PRESENCE_S):
                break
        try:
            with self._database.write() as session:
                session.execute(delete(Worker).where(Worker.id == self._owner))
        except SQLAlchemyError as error:
            _LOG.warning("left without signing off: %s", reason_of(error))

    def finish(self) -> None:
        """Sign off and wait for the thread."""
        self._finished.set()
        self.join()

    def _report_in(self) -> None:
        with self._database.write() as session:
            known = session.scalar(
                update(Worker)
                .where(Worker.id == self._owner)
                .values(heartbeat_at=db_now(), draining=self._context.draining())
                .returning(Worker.id)
                .execution_options(synchronize_session=False)
            )
            if known is None:
                place = {"hostname": socket.gethostname(), "pid": self._context.pid}
                kind = {"queues": list(self._context.queues), "device": self._context.settings.device}
                session.add(Worker(id=self._owner, draining=self._context.draining(), **place, **kind))


def open_context(
    settings: Settings, queues: list[str], draining: Callable[[], bool], pid: int | None = None
) -> WorkerContext:
    """To be called in the process that runs the jobs, after the fork: connections must not cross one.

    `pid`: of the process to signal; default: this one.
    """
    short = "short" in queues
    runners = RunnerPool(
        keep_warm=short or settings.ready_runner,
        jobs_per_runner=settings.warm_runner_jobs if short else 1,
        environment=environment_for(settings.device, os.environ),
    )
    return WorkerContext(
        settings=settings,
        database=Database(settings),
        store=open_store(settings),
        runners=runners,
        owner=new_id("wrk"),
        pid=pid or os.getpid(),
        queues=tuple(queues),
        draining=draining,
    )
