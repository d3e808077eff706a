# Written by `python -m service.sync_client` from aio/jobs.py, which is the one to change.
"""Jobs: create, follow, wait, cancel."""

import builtins
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from service.client.errors import JobFailedError, WaitTimeoutError
from service.client.events import follow
from service.client.messages import LogLine, StreamTicket
from service.client.pages import Page
from service.client.progress import ProgressLine
from service.client.schemas import Attempt, Checkpoint, Event, Job, JobProgress, Metric
from service.client.transport import Transport, segment


class JobsClient:
    """`client.jobs`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, spec: Mapping[str, Any], idempotency_key: str | None = None) -> Job:
        """Submit a job. The key (random by default) makes a repeat after a lost answer harmless."""
        key = idempotency_key or uuid.uuid4().hex
        return self._transport.post("/v1/jobs", Job, spec, idempotency_key=key)

    def get(self, job_id: str) -> Job:
        return self._transport.get(f"/v1/jobs/{segment(job_id)}", Job)

    def list(
        self,
        *,
        state: str | None = None,
        kind: str | None = None,
        limit: int | None = None,
        after: str | None = None,
    ) -> Page[Job]:
        """One page, newest first; pass `next_cursor` as `after` for the next."""
        params = {"state": state, "kind": kind, "limit": limit, "after": after}
        return self._transport.get("/v1/jobs", Page[Job], params)

    def cancel(self, job_id: str) -> Job:
        return self._transport.post(f"/v1/jobs/{segment(job_id)}/cancel", Job)

    def pause(self, job_id: str) -> Job:
        """Hold it back until `resume`; a running training writes a last checkpoint first."""
        return self._transport.post(f"/v1/jobs/{segment(job_id)}/pause", Job)

    def resume(self, job_id: str) -> Job:
        return self._transport.post(f"/v1/jobs/{segment(job_id)}/resume", Job)

    def retry(self, job_id: str) -> Job:
        return self._transport.post(f"/v1/jobs/{segment(job_id)}/retry", Job)

    def metrics(self, job_id: str) -> builtins.list[Metric]:
        """The training curves."""
        path = f"/v1/jobs/{segment(job_id)}/metrics"
        page = self._transport.get(path, Page[Metric], {"limit": 200})
        found = page.data
        while page.next_cursor is not None:
            page = self._transport.get(path, Page[Metric], {"limit": 200, "after": page.next_cursor})
            found += page.data
        return found

    def attempts(self, job_id: str) -> builtins.list[Attempt]:
        page = self._transport.get(f"/v1/jobs/{segment(job_id)}/attempts", Page[Attempt])
        return page.data

    def checkpoints(self, job_id: str) -> builtins.list[Checkpoint]:
        page = self._transport.get(f"/v1/jobs/{segment(job_id)}/checkpoints", Page[Checkpoint])
        return page.data

    def events(self, job_id: str, *, after: int = 0, wait: float | None = None) -> builtins.list[Event]:
        """Events after number `after`; with `wait`, holds up to that many seconds until there is one."""
        path = f"/v1/jobs/{segment(job_id)}/events"
        page = self._transport.get(path, Page[Event], {"after": after, "wait": wait})
        found = page.data
        while page.has_more:
            page = self._transport.get(path, Page[Event], {"after": found[-1].seq})
            found += page.data
        return found

    def logs(self, job_id: str, *, level: str | None = None, after: int = 0) -> builtins.list[LogLine]:
        """What the job wrote after event number `after`; `level`: "warning" leaves out the rest."""
        path = f"/v1/jobs/{segment(job_id)}/logs"
        page = self._transport.get(path, Page[LogLine], {"level": level, "after": after})
        found = page.data
        while page.next_cursor is not None:
            params = {"level": level, "after": page.next_cursor}
            page = self._transport.get(path, Page[LogLine], params)
            found += page.data
        return found

    def stream_ticket(self, job_id: str) -> StreamTicket:
        """A URL for a browser's EventSource, without an API key: good once, for a minute."""
        return self._transport.post(f"/v1/jobs/{segment(job_id)}/events/ticket", StreamTicket)

    def stream(self, job_id: str, *, after: int = 0) -> Iterator[Event]:
        """Each event after number `after`, as it happens, to the job's end; survives lost connections."""
        return (event for event in follow(self._transport, job_id, after) if event is not None)

    def wait(
        self,
        job_id: str,
        on_progress: Callable[[Job], None] | None = None,
        timeout: float | None = None,
        *,
        progress: bool = False,
        check: bool = False,
    ) -> Job:
        """Follow a job to its end and return it, whatever the end was unless `check`.

        Args:
            on_progress: Called with the job as it is now, at each change of state or progress.
            timeout: Seconds. Raises WaitTimeoutError after them; the job itself goes on.
            progress: Draw a bar on standard error, unless `on_progress` does something else.
            check: Raise JobFailedError unless it succeeds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        job = self.get(job_id)
        report = on_progress or (ProgressLine() if progress else lambda _: None)
        report(job)
        if job.finished:
            return _checked(job, check)
        for event in follow(self._transport, job_id, 0, deadline):
            if deadline is not None and time.monotonic() >= deadline:
                raise WaitTimeoutError(
                    f"{job_id} is still {job.state} after {timeout:g} s; it goes on without you"
                )
            if event is not None and event.type in {"job.state", "job.progress"}:
                job = _advance(job, event)
                report(job)
        job = self.get(job_id)
        report(job)
        return _checked(job, check)


def _checked(job: Job, check: bool) -> Job:
    if check and job.state != "succeeded":
        raise JobFailedError(job)
    return job


def _advance(job: Job, event: Event) -> Job:
    """The job after `event`, without asking the service again."""
    if event.type == "job.state":
        return job.model_copy(update={"state": event.data.get("state", job.state)})
    return job.model_copy(update={"progress": JobProgress.model_validate(event.data)})
