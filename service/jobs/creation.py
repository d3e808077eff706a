"""Creating jobs over HTTP: once per Idempotency-Key, committed before the answer or the wait begins."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastapi.responses import JSONResponse
from sqlalchemy.orm import Session

from service.jobs import service
from service.jobs.idempotency import Once
from service.jobs.schemas import JobRead
from service.jobs.tables import Job
from service.jobs.waiting import until
from service.platform.database import Database


@dataclass(frozen=True)
class Answer:
    """The job as it was answered for the first time; `replayed` when that was an earlier request."""

    job_id: str
    body: dict[str, Any]
    replayed: bool


def create_once(
    database: Database,
    tenant_id: str,
    request: tuple[str, str | None, Any],
    submit: Callable[[Session], Job],
) -> Answer:
    """Submit in one committed transaction, or answer as the first time. `request`: route, key, body."""
    route, key, body = request
    with database.write(tenant_id) as session:
        once = Once(session, tenant_id, route, key, body)
        stored = once.answer()
        if stored is not None:
            return Answer(stored.body["id"], stored.body, replayed=True)
        job = submit(session)
        answer = JobRead.of(job).model_dump(mode="json")
        once.store(202, answer)
        return Answer(job.id, answer, replayed=False)


async def accepted(database: Database, tenant_id: str, answer: Answer, wait_s: float) -> JSONResponse:
    """202 with the job, or 200 when it ended while the caller preferred to wait."""
    headers = {"Location": f"/v1/jobs/{answer.job_id}", "Retry-After": "2"}
    if answer.replayed:
        headers["Idempotency-Replayed"] = "true"
    body, status = answer.body, 202
    if wait_s > 0:
        job = await until(
            database,
            answer.job_id,
            lambda: _read(database, tenant_id, answer.job_id),
            done=lambda job: job.is_over,
            seconds=wait_s,
        )
        body, status = job.model_dump(mode="json"), 200 if job.is_over else 202
        headers["Preference-Applied"] = f"wait={wait_s:.0f}"
    return JSONResponse(body, status_code=status, headers=headers)


def _read(database: Database, tenant_id: str, job_id: str) -> JobRead:
    with database.read(tenant_id) as session:
        return JobRead.of(service.get(session, job_id))
