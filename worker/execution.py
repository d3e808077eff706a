"""One attempt at one job: claim, run, record, settle. No transaction is open while anything computes."""

import logging
import time
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy.orm import Session
from structlog.contextvars import bound_contextvars

from core.reports import RunnerInput
from core.results import FileRef, JobResult
from core.specs import parse_job_spec, spec_digest
from service.inputs import job_inputs
from service.jobs import leases, validation
from service.jobs.endings import Failed, settle
from service.jobs.leases import AttemptEnd, Claim
from service.jobs.recording import record_start
from service.jobs.states import JobState
from service.jobs.transitions import LeaseLost, move
from service.jobs.validation import Checked
from service.platform import tracing
from service.platform.errors import StorageQuotaError
from service.platform.storage import StoredBlob
from service.registration import register_result
from service.usage import storage
from worker import checkpoints
from worker.checking import run_check
from worker.context import WorkerContext
from worker.faults import blamed, failure_of, unrecorded
from worker.heartbeat import Heartbeat
from worker.recorder import Recorder
from worker.staging import Stage
from worker.supervision import Finished, Outcome, Supervision, tell_trouble

_LOG = logging.getLogger(__name__)


def execute(context: WorkerContext, job_id: str) -> None:
    """Run the job if it is there to be claimed; do nothing for a doubled, late or forged hint."""
    if context.draining():
        return
    before = time.monotonic()
    with context.database.write() as session:
        asked = (session, job_id, context.owner, context.settings.lease_ttl_s)
        claim = leases.claim(*asked, context.queues)
        check = validation.claim(*asked) if claim is None and "short" in context.queues else None
    taken = claim or check
    if taken is None:
        _LOG.info("nothing to do")
        return
    name = f"check {taken.kind}" if claim is None else f"attempt {taken.kind}"
    with (
        bound_contextvars(**taken.origin.log_fields(attempt=taken.attempt)),
        tracing.span(name, kind="consumer", parent=taken.origin.traceparent),
    ):
        tracing.note(
            {"cleave.job.id": job_id, "cleave.attempt": taken.attempt, "cleave.worker.id": context.owner}
        )
        if claim is None:
            run_check(context, taken, before)
        else:
            Attempt(context, claim, before).run()


class Attempt:
    """One claim of one job. Whatever happens, it leaves no runner at work and no files in staging."""

    def __init__(self, context: WorkerContext, claim: Claim, since: float) -> None:
        """`since`: a moment before the claim, by `time.monotonic`."""
        self._context = context
        self._claim = claim
        self._heartbeat = Heartbeat(context.database, claim.lease, context.settings.lease_ttl_s, since)
        job_id, token = claim.lease.job_id, claim.lease.token
        self._stage = Stage(context.settings.staging_root / job_id, token)
        self._staging = self._stage.folder
        self._checkpoints = context.settings.checkpoint_root / job_id
        self._recorder = Recorder(context.database, claim, self._checkpoints)

    def run(self) -> None:
        """Returns when the job has a new state, or is somebody else's."""
        _LOG.info("attempt begins")
        self._heartbeat.start()
        try:
            state = self._settle(self._compute())
            tracing.note({"cleave.job.state": state})
            _LOG.info("attempt ends: the job is %s", state)
            checkpoints.close(self._checkpoints, succeeded=state is JobState.SUCCEEDED)
        except LeaseLost:
            tracing.fail("lease_lost")
            _LOG.warning("lease lost; nothing is published")
        finally:
            self._heartbeat.finish()
            self._stage.close()

    def _compute(self) -> Outcome:
        try:
            job = self._heartbeat.patiently(self._input)
            return blamed(self._watched(job), job.files, self._context.store)
        except LeaseLost:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the job must be told
            return failure_of(error)

    def _watched(self, job: RunnerInput) -> Outcome:
        runner = self._context.runners.take()
        supervision = Supervision(self._context, runner, self._heartbeat, self._recorder)
        outcome: Outcome | None = None
        try:
            runner.send(job)
            outcome = supervision.watch(self._time_left_s())
        finally:
            healthy = supervision.reusable and isinstance(outcome, (Finished, Failed))
            self._context.runners.give_back(runner, healthy=healthy)
        return outcome

    def _input(self) -> RunnerInput:
        """What the runner is given; may be repeated. Raises LeaseLost, ServiceError (missing inputs)."""
        claim, lease = self._claim, self._claim.lease
        spec = parse_job_spec(claim.spec)
        with self._context.database.read(claim.tenant_id) as session:
            files = job_inputs(session, self._context.store, spec)
        self._stage.open()
        self._checkpoints.mkdir(parents=True, exist_ok=True)
        digest = spec_digest(spec)
        point = checkpoints.newest_good(self._context.database, self._checkpoints, lease.job_id, digest)
        if claim.attempt > 1 or point is not None:
            with self._context.database.write() as session:
                record_start(session, lease, claim.attempt, point, digest)
            checkpoints.tidy(self._context.database, self._checkpoints, point, claim.attempt)
        data_root = self._context.settings.data_root
        return RunnerInput(
            job_id=lease.job_id,
            attempt=claim.attempt,
            spec=claim.spec,
            staging=str(self._staging),
            checkpoints=str(self._checkpoints),
            resume=point and point.path,
            log_fields=claim.origin.log_fields(attempt=claim.attempt),
            traceparent=tracing.traceparent(),
            files={role: str(path) for role, path in files.items()},
            data_root=None if data_root is None else str(data_root.absolute()),
        )

    def _time_left_s(self) -> float | None:
        limit = self._claim.spec.get("max_runtime_s")
        return None if limit is None else max(0.0, float(limit) - self._claim.spent_s)

    def _settle(self, outcome: Outcome) -> JobState:
        """Record the outcome. Raises LeaseLost."""
        if isinstance(outcome, Finished):
            try:
                return self._finish(outcome.result)
            except StorageQuotaError as error:
                outcome = Failed(error.code, error.detail, "user")
            except LeaseLost:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, the job must be told
                outcome = unrecorded(error)
        if isinstance(outcome, Checked):  # only a check is answered like this
            outcome = Failed("no_result", "The runner ended without a result.", "internal")
        ending, settings = outcome, self._context.settings
        tell_trouble(ending)

        def write() -> JobState:
            with self._context.database.write() as session:
                return settle(session, self._claim.lease, ending, settings)

        return self._heartbeat.patiently(write)

    def _finish(self, result: JobResult) -> JobState:
        """Files first, then one transaction that makes everything visible, if the lease still holds."""
        files = _files_of(result)
        size = sum(self._staged(ref).stat().st_size for ref in files)
        self._heartbeat.patiently(lambda: self._require_space(size))
        blobs = {ref.path: self._ingest(ref) for ref in files}
        return self._heartbeat.patiently(lambda: self._publish(result, blobs))

    def _publish(self, result: JobResult, blobs: Mapping[str, StoredBlob]) -> JobState:
        with self._context.database.write() as session:
            # First: who starts another of the tenant's jobs locks the tenant before the job, too.
            self._require_space_in(session, sum(blob.size for blob in blobs.values()))
            job = leases.hold(session, self._claim.lease)
            public = register_result(session, job, result, blobs)
            leases.end_attempt(session, job, AttemptEnd("succeeded"))
            move(session, job.id, JobState.SUCCEEDED, lease=self._claim.lease, result=public)
        return JobState.SUCCEEDED

    def _require_space(self, size: int) -> None:
        """Before anything is stored. Raises StorageQuotaError."""
        with self._context.database.write() as session:
            self._require_space_in(session, size)

    def _require_space_in(self, session: Session, size: int) -> None:
        storage.require_space(session, self._claim.tenant_id, size, reader=self._claim.lease.job_id)

    def _ingest(self, ref: FileRef) -> StoredBlob:
        return self._context.store.ingest(self._staged(ref))

    def _staged(self, ref: FileRef) -> Path:
        path = (self._staging / ref.path).resolve()
        if not path.is_relative_to(self._staging.resolve()):
            raise ValueError(f"{ref.path} is outside the staging folder")
        return path


def _files_of(result: JobResult) -> list[FileRef]:
    if result.kind == "train":
        return list(result.files)
    if result.kind == "extract":
        return [ref for module in result.modules for ref in module.files]
    if result.kind == "compose":
        return list(result.module.files)
    return list(result.files) if result.kind in ("import", "import_model") else []
