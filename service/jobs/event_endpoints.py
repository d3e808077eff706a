"""/v1/jobs/{id}/events: the same rows by polling, long polling and server-sent events."""

from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from service.jobs import repository, service
from service.jobs.schemas import EventRead, JobId
from service.jobs.waiting import MAX_WAIT_S, EventReader, stream, until
from service.platform.database import Database
from service.platform.dependencies import CallerDep, DatabaseDep
from service.platform.pagination import ListOf

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

# The largest number that the column of a job's event numbers holds.
_LARGEST_SEQ = 2**31 - 1
After = Annotated[int, Query(ge=0, le=_LARGEST_SEQ, description="Events with a larger number.")]
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@router.get("/{job_id}/events", operation_id="jobs_events")
async def events(
    job_id: JobId,
    caller: CallerDep,
    database: DatabaseDep,
    after: After = 0,
    wait: Annotated[float, Query(ge=0, le=MAX_WAIT_S, description="Hold until there is an event.")] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 200,
) -> ListOf[EventRead]:
    """What happened after event number `after`. `next_cursor` is the number to go on from."""
    over, _ = await run_in_threadpool(_find, database, caller.tenant_id, job_id)
    reader = EventReader(database, caller.tenant_id, job_id)
    found = await until(
        database,
        job_id,
        lambda: reader.after(after, limit + 1),
        done=lambda events: bool(events) or over,
        seconds=wait,
    )
    data = found[:limit]
    return ListOf[EventRead].of(data, str(data[-1].seq) if len(found) > limit else None)


@router.get(
    "/{job_id}/events/stream",
    operation_id="jobs_events_stream",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"text/event-stream": {}}, "description": "One event per row, then the end."},
        204: {"description": "The job is over and you have every event: do not reconnect."},
    },
)
async def events_stream(
    job_id: JobId,
    caller: CallerDep,
    database: DatabaseDep,
    after: After = 0,
    last_event_id: Annotated[
        int | None, Header(ge=0, le=_LARGEST_SEQ, description="Wins over `after`.")
    ] = None,
) -> Response:
    """Server-sent events, each once and in order; reconnect with Last-Event-ID."""
    position = after if last_event_id is None else last_event_id
    over, newest = await run_in_threadpool(_find, database, caller.tenant_id, job_id)
    if over and position >= newest:
        return Response(status_code=204)
    reader = EventReader(database, caller.tenant_id, job_id)
    return StreamingResponse(stream(reader, position), media_type="text/event-stream", headers=_HEADERS)


def _find(database: Database, tenant_id: str, job_id: str) -> tuple[bool, int]:
    """Whether the job is over, and the number of its newest event. Raises NotFoundError."""
    with database.read(tenant_id) as session:
        job = service.get(session, job_id)
        return repository.is_over(session, job_id), job.event_seq
