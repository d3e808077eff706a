"""The workers there are: each of them for operators, their numbers for callers."""

from collections import Counter
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from service.jobs import examples
from service.jobs.outbox import WORKER_SILENT_MS
from service.jobs.states import ACTIVE
from service.jobs.tables import Job, Worker
from service.platform.clock import db_now


class WorkerView(BaseModel):
    """One worker process, as an operator sees it."""

    id: str
    hostname: str
    pid: int
    device: str
    queues: list[str]
    state: str = Field(description="idle, busy, draining, or silent: no sign of life for 15 s.")
    job_id: str | None
    started_at: datetime
    heartbeat_at: datetime


class WorkerCount(BaseModel):
    """How many workers of a queue have the same kind of device."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.WORKERS]})

    queue: str
    device: str = Field(description="cpu, gpu, or auto: a GPU if the machine has one.")
    idle: int
    busy: int
    draining: int = Field(description="They finish or hand back their job and take no other.")


def list_workers(session: Session) -> list[WorkerView]:
    """Every worker that has not signed off, by queue and host."""
    rows = (
        select(Worker, Worker.heartbeat_at > db_now() - WORKER_SILENT_MS, Job.id)
        .outerjoin(Job, (Job.lease_owner == Worker.id) & Job.state.in_(list(ACTIVE)))
        .order_by(Worker.hostname, Worker.started_at, Worker.id)
    )
    return sorted((_view(row) for row in session.execute(rows)), key=lambda view: view.queues)


def count_workers(session: Session) -> list[WorkerCount]:
    """Living workers by queue and kind of device."""
    states: dict[tuple[str, str], Counter[str]] = {}
    for view in list_workers(session):
        for queue in view.queues if view.state != "silent" else ():
            states.setdefault((queue, _kind(view.device)), Counter())[view.state] += 1
    return [
        WorkerCount(queue=queue, device=kind, **{s: count[s] for s in ("idle", "busy", "draining")})
        for (queue, kind), count in sorted(states.items())
    ]


def _kind(device: str) -> str:
    return device if device in {"auto", "cpu"} else "gpu"


def _view(row: Row[Worker, bool, str]) -> WorkerView:
    worker, alive, job_id = row
    states = {"silent": not alive, "draining": worker.draining, "busy": job_id is not None}
    state = next((name for name, holds in states.items() if holds), "idle")
    columns = {column.key: getattr(worker, column.key) for column in Worker.__table__.columns}
    return WorkerView.model_validate({**columns, "state": state, "job_id": job_id})
