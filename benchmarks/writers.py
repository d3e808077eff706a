"""Several processes that write jobs to one database at once: nothing is lost, nobody is told "locked"."""

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from core.results import LogReport
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
        "longest_transaction_ms": round(1000 * max(longest for _, longest in outcomes), 1),
        "transactions_per_s": round(4 * expected / wall, 1),
    }


def _write_jobs(settings: Settings, tenant: str, jobs: int) -> tuple[int, float]:
    """Errors, and the longest transaction in seconds."""
    database = Database(settings)
    errors, longest = 0, 0.0
    for _ in range(jobs):
        try:
            longest = max(longest, _write_job(database, settings, tenant))
        except OperationalError:
            errors += 1
    database.dispose()
    return errors, longest


def _write_job(database: Database, settings: Settings, tenant: str) -> float:
    began, times = time.perf_counter(), []
    with database.write() as session:
        job_id = service.enqueue(session, tenant, train_spec()).id
    times.append(time.perf_counter())
    with database.write() as session:
        claim = leases.claim(session, job_id, "wrk_benchmark", 600.0)
    times.append(time.perf_counter())
    if claim is None:
        raise RuntimeError(f"{job_id} could not be claimed")
    with database.write() as session:
        record(session, claim.lease, claim.attempt, Notes(logs=[LogReport(level="info", message="at work")]))
    times.append(time.perf_counter())
    with database.write() as session:
        settle(session, claim.lease, Failed("measured", "Only a measurement.", "user"), settings)
    times.append(time.perf_counter())
    return max(end - start for start, end in zip([began, *times], times, strict=False))
