"""/v1/workers: who works."""

from fastapi import APIRouter

from service.jobs import workers
from service.jobs.workers import WorkerCount
from service.platform.dependencies import CallerDep, DatabaseDep
from service.platform.pagination import ListOf

router = APIRouter(prefix="/v1/workers", tags=["operation"])


@router.get("", operation_id="workers_list")
def list_workers(caller: CallerDep, database: DatabaseDep) -> ListOf[WorkerCount]:  # noqa: ARG001 - asking it authenticates
    """How many workers live, by queue and device. Hosts are the operator's: `cleave workers list`."""
    with database.read() as session:
        return ListOf[WorkerCount].of(workers.count_workers(session))
