"""The one Celery task."""

import re
from typing import Any

from celery.worker.request import Request
from structlog.contextvars import bound_contextvars

from service.queue import TASK
from worker.app import app, context
from worker.execution import execute

_JOB_ID = re.compile(r"job_[0-9a-z]{1,60}")


class Hint(Request):
    """A message whose acknowledgement fails is an error of the connection, which is then made anew.

    Celery would note it and go on, and never be allowed another message: it holds one already.
    """

    def __init__(self, message: Any, **options: Any) -> None:
        super().__init__(message, **{**options, "connection_errors": ()})  # none that are only noted


@app.task(name=TASK, ignore_result=True, Request=Hint)
def run_job(job_id: str) -> None:
    """A hint that this job may be claimed. Anything else in a message is ignored."""
    if isinstance(job_id, str) and _JOB_ID.fullmatch(job_id):
        with bound_contextvars(job_id=job_id):
            execute(context(), job_id)
