"""The one Celery task."""

import re

from service.queue import TASK
from worker.app import app, context
from worker.execution import execute

_JOB_ID = re.compile(r"job_[0-9a-z]{1,60}")


@app.task(name=TASK, ignore_result=True)
def run_job(job_id: str) -> None:
    """A hint that this job may be claimed. Anything else in a message is ignored."""
    if isinstance(job_id, str) and _JOB_ID.fullmatch(job_id):
        execute(context(), job_id)
