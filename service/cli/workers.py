"""cleave workers ...: who works, asked where the database is."""

from typing import TYPE_CHECKING, Any

import typer

from service.cli import output
from service.cli.session import DataDirOption, JsonFlag, installed_settings, reported_errors

if TYPE_CHECKING:
    from service.jobs.workers import WorkerView

app = typer.Typer(help="Worker processes.", no_args_is_help=True)


@app.command("list")
def list_all(ctx: typer.Context, data_dir: DataDirOption = None, as_json: JsonFlag = False) -> None:
    """The workers there are: host, device, queues, and the job each is at."""
    with reported_errors(ctx):
        from service.jobs.workers import list_workers
        from service.platform.database import Database

        database = Database(installed_settings(data_dir))
        try:
            with database.read() as session:
                found = list_workers(session)
        finally:
            database.dispose()
    columns = ("id", "host", "pid", "queues", "device", "state", "job", "last seen")
    output.emit(found, as_json, lambda: output.table("Workers", columns, [_row(worker) for worker in found]))


def _row(worker: "WorkerView") -> tuple[Any, ...]:
    seen = output.moment(worker.heartbeat_at)
    place = (worker.id, worker.hostname, str(worker.pid), ", ".join(worker.queues), worker.device)
    return (*place, worker.state, worker.job_id or "", seen)
