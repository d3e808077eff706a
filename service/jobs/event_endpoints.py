"""/v1/jobs/{id}/events: the same rows by polling, long polling and server-sent events."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from service.jobs import examples, repository, service, tickets
from service.jobs.schemas import EventRead, JobId, LogLine, TicketRead
from service.jobs.tables import JobEvent
from service.jobs.waiting import MAX_WAIT_S, EventReader, stream, until
from service.platform.database import Database
from service.platform.dependencies import CallerDep, DatabaseDep, Reader, Writer
from service.platform.openapi import problems
from service.platform.pagination import ListOf
from service.platform.streams import CountedStream, Listener, ListenerDep, Streams, StreamsDep

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
ticketed_router = APIRouter(prefix="/v1/events", tags=["jobs"])

# The largest number that the column of a job's event numbers holds.
_LARGEST_SEQ = 2**31 - 1
After = Annotated[int, Query(ge=0, le=_LARGEST_SEQ, description="Events with a larger number.")]
LastEventId = Annotated[int | None, Header(ge=0, le=_LARGEST_SEQ, description="Wins over `after`.")]
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"text/event-stream": {"example": examples.EVENT_STREAM}},
        "description": "One event per row, then the end.",
    },
    204: {"description": "The job is over and you have every event: do not reconnect."},
    **problems(429),
}
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@router.get("/{job_id}/events", operation_id="jobs_events")
async def events(
    job_id: JobId,
    listener: ListenerDep,
    database: DatabaseDep,
    after: After = 0,
    wait: Annotated[float, Query(ge=0, le=MAX_WAIT_S, description="Hold until there is an event.")] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 200,
) -> ListOf[EventRead]:
    """What happened after event number `after`. `next_cursor` is the number to go on from."""
    over, _ = await run_in_threadpool(_find, database, listener.tenant_id, job_id)
    reader = EventReader(database, listener.tenant_id, job_id)
    with listener.waiting(wait):
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
    responses=_STREAM,
)
async def events_stream(
    job_id: JobId,
    listener: ListenerDep,
    database: DatabaseDep,
    after: After = 0,
    last_event_id: LastEventId = None,
) -> Response:
    """Server-sent events, each once and in order; reconnect with Last-Event-ID.

    `stream.gap` stands for events that are not kept any more: those up to its own number.
    """
    return await _open(database, listener, job_id, after if last_event_id is None else last_event_id)


@router.post("/{job_id}/events/ticket", operation_id="jobs_events_ticket", status_code=201)
def events_ticket(job_id: JobId, session: Writer, caller: CallerDep) -> TicketRead:
    """A URL that a browser's EventSource can open without an API key: once, within a minute.

    When the connection breaks, ask for another ticket and add `&after=` the number of the last event.
    """
    return tickets.issue(session, caller.tenant_id, job_id)


@ticketed_router.get(
    "/stream",
    operation_id="jobs_events_stream_ticketed",
    response_class=StreamingResponse,
    responses=_STREAM,
)
async def events_stream_ticketed(
    database: DatabaseDep,
    streams: StreamsDep,
    ticket: Annotated[str, Query(min_length=1, max_length=100, description="It is used up.")],
    after: After = 0,
    last_event_id: LastEventId = None,
) -> Response:
    """The event stream that a ticket of `POST /v1/jobs/{id}/events/ticket` opens; no API key."""
    listener, job_id = await run_in_threadpool(_redeem, database, streams, ticket)
    return await _open(database, listener, job_id, after if last_event_id is None else last_event_id)


@router.get("/{job_id}/logs", operation_id="jobs_logs")
def logs(
    job_id: JobId,
    session: Reader,
    after: After = 0,
    level: Annotated[Literal["info", "warning"], Query(description="Lines of this level or above.")] = "info",
    limit: Annotated[int, Query(ge=1, le=500)] = 200,
) -> ListOf[LogLine]:
    """What the job wrote, in order. `next_cursor` is the number to go on from, as `after`."""
    service.get(session, job_id)
    levels = ["info", "warning"] if level == "info" else ["warning"]
    return _lines(repository.logs_after(session, job_id, after, levels, limit + 1), limit)


async def _open(database: Database, listener: Listener, job_id: str, position: int) -> Response:
    over, newest = await run_in_threadpool(_find, database, listener.tenant_id, job_id)
    if over and position >= newest:
        return Response(status_code=204)
    reader = EventReader(database, listener.tenant_id, job_id)
    return CountedStream(stream(reader, position), listener, _HEADERS)


def _lines(found: list[JobEvent], limit: int) -> ListOf[LogLine]:
    lines = [LogLine.of(event) for event in found[:limit]]
    return ListOf[LogLine].of(lines, str(lines[-1].seq) if len(found) > limit else None)


def _redeem(database: Database, streams: Streams, ticket: str) -> tuple[Listener, str]:
    with database.write() as session:
        tenant_id, job_id = tickets.redeem(session, ticket)
        streams.require_room(tenant_id)  # within the transaction: who is refused may use the ticket later
    return Listener(tenant_id, tenant_id, streams), job_id


def _find(database: Database, tenant_id: str, job_id: str) -> tuple[bool, int]:
    """Whether the job is over, and the number of its newest event. Raises NotFoundError."""
    with database.read(tenant_id) as session:
        job = service.get(session, job_id)
        return repository.is_over(session, job_id), job.event_seq
