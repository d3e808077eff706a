"""What the database itself refuses, whoever writes to it."""

from itertools import product
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from service.jobs.states import ACTIVE, TERMINAL, TRANSITIONS, JobState
from service.jobs.tables import Job
from service.platform.clock import db_now
from service.platform.database import Database
from service.platform.ids import new_id


def columns(state: JobState) -> dict[str, Any]:
    """What fits a job in this state."""
    held, over = state in ACTIVE, state in TERMINAL
    return {
        "state": state.value,
        "lease_owner": "wrk_a" if held else None,
        "lease_expires_at": db_now() if held else None,
        "finished_at": db_now() if over else None,
        "queued_at": db_now(),
        "paused_at": None,
        "expires_at": None,
    }


def add(session: Session, tenant: str, state: JobState) -> str:
    job_id = new_id("job")
    content = {"kind": "train", "spec": {}, "spec_sha256": "0" * 64, "priority": 50}
    session.add(Job(id=job_id, tenant_id=tenant, **content, **columns(state)))
    session.flush()
    return job_id


def refused(session: Session, job_id: str, values: dict[str, Any]) -> bool:
    try:
        with session.begin_nested():
            session.execute(update(Job).where(Job.id == job_id).values(values))
    except IntegrityError:
        return True
    return False


def test_no_change_of_state_but_the_transitions(database: Database, tenant: str) -> None:
    wrong = []
    with database.write() as session:
        for old, new in product(JobState, JobState):
            allowed = new == old or new in TRANSITIONS[old]
            if refused(session, add(session, tenant, old), columns(new)) is allowed:
                wrong.append((old.value, new.value, allowed))
    assert wrong == []


@pytest.mark.parametrize(
    ("state", "values"),
    [
        ("queued", {"lease_owner": "wrk_a"}),
        ("queued", {"lease_expires_at": 1}),
        ("queued", {"finished_at": 1}),
        ("queued", {"queued_at": None}),
        ("queued", {"paused_at": 1}),
        ("running", {"lease_owner": None}),
        ("running", {"lease_expires_at": None}),
        ("running", {"expires_at": 1}),
        ("cancelling", {"paused_at": 1}),
        ("succeeded", {"finished_at": None}),
        ("failed", {"lease_owner": "wrk_a"}),
        ("expired", {"expires_at": 1}),
        ("pending", {"state": "sleeping"}),
    ],
)
def test_no_columns_that_do_not_fit_the_state(
    database: Database, tenant: str, state: str, values: dict[str, Any]
) -> None:
    with database.write() as session:
        job_id = add(session, tenant, JobState(state))
        assert not refused(session, job_id, columns(JobState(state)))
        assert refused(session, job_id, values)
