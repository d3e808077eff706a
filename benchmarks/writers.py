"""Several processes that write jobs to one database at once: nothing is lost, nobody is told "locked"."""

import itertools
import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from core.reports import LogReport
from service.jobs import leases, service
from service.jobs.endings import Failed, settle
from service.jobs.recording import Notes, record
from service.jobs.tables import Job, JobEvent
from service.platform.database import Database
from service.platform.settings import Settings
from tests.fixtures.database import default_tenant
from tests.fixtures.jobs import train_spec

# queued; running and its attempt; log; the attempt's end; failed and done
EVENTS_PER_JOB = 7
# Of a transaction: until it has the lock, and from then on.
SPANS = ("wait", "hold")


def contend(settings: Settings, processes: int, jobs: int) -> dict[str, Any]:
    """Each process creates, claims, records and ends that many jobs, four transactions each."""
    database = Database(settings)
    tenant = default_tenant(database)
    began = time.perf_counter()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        work = [pool.submit(_write_jobs, settings, tenant, jobs) for _ in range(processes)]
        outcomes = [future.result() for future in work]
    wall = time.perf_counter() - began
    with database.read() as session:
        ended = session.scalar(select(func.count()).where(Job.state == "failed")) or 0
        events = session.scalar(select(func.count()).select_from(JobEvent)) or 0
    database.dispose()
    expected = processes * jobs
    return {
        "processes": processes,
        "jobs": expected,
        "lost_jobs": expected - ended,
        "lost_events": EVENTS_PER_JOB * expected - events,
        "locked_errors": sum(errors for errors, _ in outcomes),
        **{f"longest_{name}_ms": _longest_ms(spans[name] for _, spans in outcomes) for name in SPANS},
        "transactions_per_s": round(4 * expected / wall, 1),
    }


def _longest_ms(spans: Iterable[list[float]]) -> float:
    return round(1000 * max(itertools.chain.from_iterable(spans)), 1)


def _write_jobs(settings: Settings, tenant: str, jobs: int) -> tuple[int, dict[str, list[float]]]:
    """Errors, and the seconds of all transactions by their spans."""
    database, spans, errors = Database(settings), {name: list[float]() for name in SPANS}, 0
    for _ in range(jobs):
        try:
            _write_job(partial(_timed, database, spans), settings, tenant)
        except OperationalError:
            errors += 1
    database.dispose()
    return errors, spans


@contextmanager
def _timed(database: Database, spans: dict[str, list[float]]) -> Iterator[Session]:
    """A writing session. SQLite's lock is taken when the transaction begins, and held until the commit."""
    began = time.perf_counter()
    with database.write() as session:
        session.connection()
        locked = time.perf_counter()
        yield session
    spans["wait"].append(locked - began)
    spans["hold"].append(time.perf_counter() - locked)


def _write_job(write: Callable[[], AbstractContextManager[Session]], settings: Settings, tenant: str) -> None:
    with write() as session:
        job_id = service.enqueue(session, tenant, train_spec()).id
    with write() as session:
        claim = leases.claim(session, job_id, "wrk_benchmark", 600.0)
    if claim is None:
        raise RuntimeError(f"{job_id} could not be claimed")
    with write() as session:
        record(session, claim.lease, claim.attempt, Notes(logs=[LogReport(level="info", message="at work")]))
    with write() as session:
        settle(session, claim.lease, Failed("measured", "Only a measurement.", "user"), settings)
