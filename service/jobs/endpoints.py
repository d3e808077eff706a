"""/v1/jobs: the long work."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import JSONResponse
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from service import submission
from service.jobs import pausing, repository, service
from service.jobs.creation import accepted, create_once
from service.jobs.idempotency import IdempotencyKey
from service.jobs.schemas import (
    AttemptRead,
    CheckpointRead,
    CurvePoint,
    JobDetail,
    JobId,
    JobRead,
    JobRequest,
)
from service.jobs.states import JobState
from service.jobs.tables import Job
from service.jobs.waiting import preferred_wait, until
from service.platform.database import Database
from service.platform.dependencies import CallerDep, DatabaseDep, Reader, Writer
from service.platform.openapi import problems
from service.platform.pagination import ListOf, PageDep
from service.platform.streams import ListenerDep

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
Prefer = Annotated[
    str | None, Header(description="`wait=N`: answer when the job is over, after N seconds at most.")
]
_BODY: dict[str, Any] = {"model": JobRead}


@router.post(
    "",
    operation_id="jobs_create",
    status_code=202,
    response_model=JobRead,
    responses={
        200: {**_BODY, "description": "It ended within the time of `Prefer: wait`."},
        **problems(404, 409, 429, 507),
    },
)
async def create(
    spec: JobRequest,
    caller: ListenerDep,
    database: DatabaseDep,
    idempotency_key: IdempotencyKey = None,
    prefer: Prefer = None,
) -> Response:
    """Accept a job. Answers 202 with the job; follow it by its `links`."""
    body = spec.model_dump(mode="json")

    def submit(session: Session) -> Job:
        submission.require_webhook(session, spec)
        return submission.submit(session, caller.tenant_id, spec)

    seconds = preferred_wait(prefer)
    with caller.waiting(seconds):  # before anything is submitted: who is refused may ask again
        answer = await run_in_threadpool(
            create_once, database, caller.tenant_id, ("/v1/jobs", idempotency_key, body), submit
        )
        return await accepted(database, caller.tenant_id, answer, seconds)


@router.get("", operation_id="jobs_list")
def list_jobs(
    session: Reader,
    page: PageDep,
    state: Annotated[list[JobState] | None, Query(description="Repeat for more than one.")] = None,
    kind: Annotated[str | None, Query(max_length=32)] = None,
) -> ListOf[JobRead]:
    """Your jobs, newest first."""
    found = repository.page_of_jobs(session, page, states=[s.value for s in state or []], kind=kind)
    return ListOf[JobRead].of([JobRead.of(job) for job in found.rows], found.next_cursor)


@router.get(
    "/{job_id}",
    operation_id="jobs_get",
    response_model=JobDetail,
    responses={304: {"description": "Unchanged since the ETag in If-None-Match."}, **problems(429)},
)
async def get(
    job_id: JobId,
    caller: ListenerDep,
    database: DatabaseDep,
    prefer: Prefer = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """One job with its attempts. The `ETag` is its version; `Prefer: wait` holds until the end."""
    seconds = preferred_wait(prefer)
    with caller.waiting(seconds):
        detail, version = await until(
            database,
            job_id,
            lambda: _read_detail(database, caller.tenant_id, job_id),
            done=lambda found: found[0].is_over,
            seconds=seconds,
        )
    headers = {"ETag": f'"{version}"'} | ({} if detail.is_over else {"Retry-After": "2"})
    if if_none_match == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return JSONResponse(detail.model_dump(mode="json"), headers=headers)


@router.post(
    "/{job_id}/cancel",
    operation_id="jobs_cancel",
    status_code=202,
    responses={200: {**_BODY, "description": "It was already being cancelled."}, **problems(409)},
)
def cancel(job_id: JobId, session: Writer, response: Response) -> JobRead:
    """Stop a job: at once while it waits, after a last checkpoint while it runs. 409 when it is over."""
    job, first = service.cancel(session, job_id)
    response.status_code = 202 if first else 200
    return JobRead.of(job)


@router.post(
    "/{job_id}/pause",
    operation_id="jobs_pause",
    status_code=202,
    responses={200: {**_BODY, "description": "It was already paused."}, **problems(409)},
)
def pause(job_id: JobId, session: Writer, response: Response) -> JobRead:
    """Hold a job back: at once while it waits, after a last checkpoint while it runs. 409 when it is over."""
    job, first = pausing.pause(session, job_id)
    response.status_code = 202 if first else 200
    return JobRead.of(job)


@router.post(
    "/{job_id}/resume",
    operation_id="jobs_resume",
    status_code=202,
    responses={200: {**_BODY, "description": "It was not paused."}, **problems(409)},
)
def resume(job_id: JobId, session: Writer, response: Response) -> JobRead:
    """Let a paused job go on; a training does so from its last checkpoint. 409 when it is over."""
    job, first = pausing.resume(session, job_id)
    response.status_code = 202 if first else 200
    return JobRead.of(job)


@router.post(
    "/{job_id}/retry",
    operation_id="jobs_retry",
    status_code=202,
    response_model=JobRead,
    responses=problems(409, 429, 507),
)
async def retry(
    job_id: JobId, caller: CallerDep, database: DatabaseDep, idempotency_key: IdempotencyKey = None
) -> Response:
    """Submit the spec of an ended job again, as a new job; a training goes on from its last checkpoint.

    Asked again before that job has ended: the same job.
    """
    route = f"/v1/jobs/{job_id}/retry"
    answer = await run_in_threadpool(
        create_once,
        database,
        caller.tenant_id,
        (route, idempotency_key, None),
        lambda session: submission.retry(session, caller.tenant_id, job_id),
    )
    return await accepted(database, caller.tenant_id, answer, 0.0)


@router.get("/{job_id}/metrics", operation_id="jobs_metrics")
def metrics(
    job_id: JobId,
    session: Reader,
    page: PageDep,
    name: Annotated[str | None, Query(max_length=100)] = None,
) -> ListOf[CurvePoint]:
    """The training curves, in the order they were measured."""
    service.get(session, job_id)
    found = repository.curve_points(session, job_id, name, page)
    return ListOf[CurvePoint].of([CurvePoint.model_validate(m) for m in found.rows], found.next_cursor)


@router.get("/{job_id}/attempts", operation_id="jobs_attempts")
def attempts(job_id: JobId, session: Reader) -> ListOf[AttemptRead]:
    """Every try at the job, and how it ended."""
    service.get(session, job_id)
    found = repository.attempts_of(session, job_id)
    return ListOf[AttemptRead].of([AttemptRead.model_validate(a) for a in found])


@router.get("/{job_id}/checkpoints", operation_id="jobs_checkpoints")
def checkpoints(job_id: JobId, session: Reader) -> ListOf[CheckpointRead]:
    """Checkpoints it wrote, or took over (attempt 0); the last two and the best stay until it succeeds."""
    service.get(session, job_id)
    found = repository.checkpoints_of(session, job_id)
    return ListOf[CheckpointRead].of([CheckpointRead.model_validate(c) for c in found])


def _read_detail(database: Database, tenant_id: str, job_id: str) -> tuple[JobDetail, int]:
    with database.read(tenant_id) as session:
        job = service.get(session, job_id)
        return JobDetail.with_attempts(job, repository.attempts_of(session, job_id)), job.version
