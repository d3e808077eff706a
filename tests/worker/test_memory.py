"""Memory: measured with the runner's children, limited, and told as what it is."""

import hashlib
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

from sqlalchemy import select, update

from core.reports import FailureReport, RunnerInput
from core.specs import spec_digest
from service.jobs.tables import Checkpoint, Job
from service.platform.clock import db_now
from service.platform.database import Database
from tests.fixtures.jobs import queued, read_job, train_spec
from tests.fixtures.waiting import children_of, eventually
from tests.worker.test_execution import ENDLESS, attempts_of, runner_pids
from tests.worker.test_process import job as failing_job
from worker.context import WorkerContext
from worker.execution import execute
from worker.memory import MemoryWatch, resident_bytes
from worker.process import RunnerProcess

MB = 1 << 20
HOLDER = f"import sys, time; held = bytearray({64 * MB}); print(len(held), flush=True); time.sleep(600)"


def test_memory_of_descendants_counts_too() -> None:
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HOLDER!r}])"
    with subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        try:
            own = int(Path(f"/proc/{parent.pid}/statm").read_text().split()[1]) * resource.getpagesize()
            assert own < 40 * MB
            assert resident_bytes(parent.pid) > own + 64 * MB
            watch = MemoryWatch(parent.pid, 200)
            assert not watch.exceeded()
            assert watch.roomy is (64 < watch.held_mb <= 100)
            assert MemoryWatch(parent.pid, 50).exceeded()
            assert not MemoryWatch(parent.pid, 0).exceeded()
        finally:
            for pid in (*children_of(parent.pid), parent.pid):
                os.kill(pid, signal.SIGKILL)
    assert resident_bytes(parent.pid) == 0


def limited(context: WorkerContext, limit_mb: int) -> WorkerContext:
    settings = context.settings.model_copy(update={"runner_memory_mb": limit_mb})
    return WorkerContext(**{**vars(context), "settings": settings})


def test_a_runner_that_holds_too_much_is_killed_and_the_job_told_why(
    database: Database, tenant: str, context: WorkerContext
) -> None:
    job_id = queued(database, tenant, **ENDLESS)
    execute(limited(context, 100), job_id)
    assert runner_pids() == []
    job = read_job(database, job_id)
    assert job.error is not None
    assert (job.state, job.error["code"], job.error["cause"]) == ("failed", "out_of_memory", "oom")
    assert "this worker allows 100 MB" in job.error["message"]
    assert "batch_size" in job.error["message"]
    assert [(a.outcome, a.cause) for a in attempts_of(database, job_id)] == [("failed", "oom")]


def test_a_training_may_begin_again_with_fewer_images_at_once(
    database: Database, tenant: str, context: WorkerContext
) -> None:
    asked = {"epochs": 3, "batch_size": 32, "max_train_samples": 64, "checkpoint_interval_s": 0}
    job_id = queued(database, tenant, **asked, on_oom="accumulate")
    spec = train_spec(**asked)
    folder = context.settings.checkpoint_root / job_id
    with database.write() as session:  # of an attempt with the spec as it was asked
        session.add(
            Checkpoint(
                job_id=job_id, tenant_id=tenant, path="old.safetensors",
                sha256=hashlib.sha256(b"state").hexdigest(),
                spec_sha256=spec_digest(spec), attempt=0, epoch=2, step=4,
            )
        )  # fmt: skip
    folder.mkdir(parents=True)
    (folder / "old.safetensors").write_bytes(b"state")
    execute(limited(context, 100), job_id)
    with database.write() as session:
        session.execute(update(Job).values(available_at=db_now()))
    execute(context, job_id)

    first, second = attempts_of(database, job_id)
    assert (first.cause, first.overrides, first.resumed_from) == ("oom", None, "old.safetensors")
    assert (second.outcome, second.resumed_from) == ("succeeded", None)
    assert second.overrides == {"gradient_accumulation": 2}
    with database.read() as session:
        points = session.scalars(select(Checkpoint)).all()
    changed = spec_digest(spec.model_copy(update={"gradient_accumulation": 2}))
    assert {point.spec_sha256 for point in points} == {changed}
    assert [point.best for point in points].count(True) == 1


def report_of(runner: RunnerProcess, job: RunnerInput) -> FailureReport:
    found: list[FailureReport] = []

    def failed() -> bool:
        found.extend(report for report in runner.read(0.2) if isinstance(report, FailureReport))
        return bool(found)

    runner.send(job)
    eventually(failed)
    return found[0]


def test_memory_that_torch_is_refused_is_told_as_that(tmp_path: Path) -> None:
    """The kernel refuses: a step of a small ViT on 1024 images takes gigabytes."""
    runner = RunnerProcess()
    try:
        assert report_of(runner, failing_job(tmp_path)).code == "artifact_invalid"  # torch is loaded now
        size = int(Path(f"/proc/{runner.pid}/statm").read_text().split()[0]) * resource.getpagesize()
        resource.prlimit(runner.pid, resource.RLIMIT_AS, (size + 400 * MB, resource.RLIM_INFINITY))
        spec = train_spec(
            architecture="vit_small", approach={"name": "standard"}, batch_size=1024
        ).model_dump(mode="json")
        report = report_of(runner, failing_job(tmp_path).model_copy(update={"spec": spec}))
    finally:
        runner.kill()
    assert (report.code, report.cause) == ("out_of_memory", "oom")
    assert report.message.startswith("Not enough memory: ")
