"""What is tried once the fire is over: cancelling, and killing `cleave up` as a whole."""

import hashlib
import shutil
import signal
import time
from typing import TYPE_CHECKING

from sqlalchemy import select

from benchmarks.chaos.faults import Blow
from benchmarks.chaos.stack import send
from benchmarks.chaos.work import KINDS, Family, Snapshot, training
from service.client import CleaveClient
from service.jobs.tables import Checkpoint, Job

if TYPE_CHECKING:
    from benchmarks.chaos.campaign import Campaign

_CANCELLED_WITHIN_S = 10.0


def cancel_some(run: "Campaign", client: CleaveClient) -> list[str]:
    """Trainings cancelled at some moment; the broken promises."""
    broken: list[str] = []
    for number in range(run.plan.cancels):
        spec = training(run.plan.recipes[number % len(run.plan.recipes)], 2000)
        job_id = client.jobs.create(spec).id
        run.cancelled.append(job_id)
        run.until(lambda: _progressing(run.now, job_id), lambda _: None, "a training to cancel")  # noqa: B023 - asked at once
        time.sleep(run.arsenal.draw.random())
        blow = Blow("cancel", time.monotonic(), [run.now.jobs[job_id]])
        run.blows.append(blow)
        client.jobs.cancel(job_id)
        run.until(lambda: blow.recovered_s is not None, lambda _: None, "a cancellation")  # noqa: B023 - asked at once
        if (blow.recovered_s or 0.0) > _CANCELLED_WITHIN_S:
            broken.append(f"cancelled only after {blow.recovered_s:.1f} s: {job_id}")
        broken += _last_checkpoint(run, job_id)
    return broken


def kill_up(run: "Campaign", client: CleaveClient) -> None:
    """`cleave up` in place of the single processes, killed while it trains and started again."""
    run.stack.stop()
    run.stack.members.clear()
    run.stack.add("up", "up", "--port", str(run.stack.settings.port))
    first = len(run.families)
    run.families += [
        Family(first + n, run.plan.recipes[n % len(run.plan.recipes)], run.plan.epochs)
        for n in range(run.plan.up_kills)
    ]

    def work(now: Snapshot) -> None:
        for family in run.families[first:]:
            family.advance(client, now, len(KINDS))

    for _ in range(run.plan.up_kills):
        run.until(lambda: any(_progressing(run.now, job) for job in run.now.jobs), work, "a job to kill")
        blow = Blow("kill cleave up", time.monotonic(), [job for job in run.now.jobs.values() if job.active])
        blow.over = run.stack.is_ready
        send([run.stack.members["up"].pid], signal.SIGKILL)
        run.blows.append(blow)
        run.until(lambda: blow.recovered_s is not None, work, "the start of `cleave up`")  # noqa: B023 - asked at once
    ended = run.families[first:]
    run.until(lambda: all(run.is_over(f, len(KINDS)) for f in ended), work, "jobs of `cleave up`")


def _progressing(now: Snapshot, job_id: str) -> bool:
    return job_id in now.jobs and now.jobs[job_id].active and now.jobs[job_id].checkpoints > 0


def _last_checkpoint(run: "Campaign", job_id: str) -> list[str]:
    """The one written at the request to stop is on record and on disk, whole; it goes: nobody retries."""
    folder = run.stack.settings.checkpoint_root / job_id
    with run.database.read() as session:
        job = session.get_one(Job, job_id)
        points = select(Checkpoint).where(Checkpoint.job_id == job_id).order_by(Checkpoint.created_at.desc())
        last = session.scalars(points).first()
    asked = job.cancel_requested_at
    if job.state != "cancelled" or last is None or asked is None or last.created_at < asked:
        return [f"cancelled without a last checkpoint: {job_id} is {job.state}"]
    path = folder / last.path
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != last.sha256:
        return [f"the last checkpoint is gone: {path}"]
    shutil.rmtree(folder)
    return []
