"""What an attempt tells is told once, however often it has to be told again."""

from sqlalchemy import select, update

from core.reports import CheckpointReport
from core.results import MetricValue
from service.jobs import leases
from service.jobs.recording import Notes, checkpoints_newest_first, record, record_start
from service.jobs.tables import Job, JobAttempt
from service.models.tables import Metric
from service.platform.clock import db_now
from service.platform.database import Database
from tests.fixtures.jobs import claimed, queued

SPEC = "5" * 64


def _curve(*epochs: int) -> Notes:
    return Notes(metrics=[MetricValue(name="loss", value=0.5, split="train", epoch=e) for e in epochs])


def _epochs(database: Database, job_id: str) -> list[int | None]:
    with database.read() as session:
        return list(
            session.scalars(select(Metric.epoch).where(Metric.job_id == job_id).order_by(Metric.epoch))
        )


def test_a_resumed_attempt_draws_its_part_of_the_curve_anew(database: Database, tenant: str) -> None:
    job_id = queued(database, tenant)
    first = claimed(database, job_id)
    point = CheckpointReport(path="e1", sha256="0" * 64, spec_sha256=SPEC, epoch=1, step=40)
    notes = _curve(0, 1, 2, 3)
    notes.checkpoints.append(point)
    with database.write() as session:
        record(session, first.lease, first.attempt, notes)
    with database.write() as session:
        session.execute(update(Job).where(Job.id == job_id).values(lease_expires_at=db_now() - 1))
    with database.write() as session:
        leases.reap(session, job_id, 20)
    second = claimed(database, job_id)
    with database.write() as session:
        newest = checkpoints_newest_first(session, job_id)[0]
        record_start(session, second.lease, second.attempt, newest, SPEC)
    assert _epochs(database, job_id) == [0, 1]
    with database.write() as session:
        record(session, second.lease, second.attempt, _curve(2, 3))
        attempt = session.get(JobAttempt, (job_id, second.attempt))
        assert attempt is not None
        assert attempt.resumed_from == "e1"
    assert _epochs(database, job_id) == [0, 1, 2, 3]


def test_an_attempt_from_the_start_draws_all_of_it_anew(database: Database, tenant: str) -> None:
    job_id = queued(database, tenant)
    claim = claimed(database, job_id)
    with database.write() as session:
        record(session, claim.lease, claim.attempt, _curve(0, 1, 2))
        record_start(session, claim.lease, claim.attempt, None, SPEC)
    assert _epochs(database, job_id) == []


def test_of_several_reported_together_the_last_best_is_the_best(database: Database, tenant: str) -> None:
    claim = claimed(database, queued(database, tenant))
    points = [
        CheckpointReport(path=f"e{n}", sha256="0" * 64, spec_sha256=SPEC, epoch=n, step=n, best=best)
        for n, best in ((1, True), (2, True), (3, False))
    ]
    with database.write() as session:
        record(session, claim.lease, claim.attempt, Notes(checkpoints=points))
    with database.read() as session:
        found = checkpoints_newest_first(session, claim.lease.job_id)
        assert [(point.path, point.best) for point in found] == [("e3", False), ("e2", True), ("e1", False)]
