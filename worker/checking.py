"""One check of a training before it is queued, by a short worker's warm runner."""

import logging
from pathlib import Path

from core.reports import RunnerInput
from service.inputs import check_inputs
from service.jobs import validation
from service.jobs.endings import Ending, Failed
from service.jobs.leases import Claim
from service.jobs.states import JobState
from service.jobs.transitions import LeaseLost
from service.jobs.validation import Checked
from service.platform import tracing
from worker.context import WorkerContext
from worker.faults import blamed, failure_of
from worker.heartbeat import Heartbeat
from worker.recorder import Recorder
from worker.supervision import Finished, Supervision, tell_trouble

_LOG = logging.getLogger(__name__)
# The largest networks take half a minute to build; behind them others wait for this worker.
_LIMIT_S = 120.0


def run_check(context: WorkerContext, claim: Claim, since: float) -> None:
    """Returns when the job is queued or over, pending again, or somebody else's.

    `since`: a moment before the claim, by `time.monotonic`.
    """
    heartbeat = Heartbeat(context.database, claim.lease, context.settings.lease_ttl_s, since)
    heartbeat.start()
    try:
        ending = _ending(context, claim, heartbeat)
        tell_trouble(ending)

        def write() -> JobState:
            with context.database.write() as session:
                return validation.settle(session, claim.lease, ending)

        _LOG.info("check ends: %s", heartbeat.patiently(write))
    except LeaseLost:
        _LOG.warning("the check is no longer ours")
    finally:
        heartbeat.finish()


def _ending(context: WorkerContext, claim: Claim, heartbeat: Heartbeat) -> Checked | Ending:
    try:
        return _look(context, claim, heartbeat)
    except LeaseLost:
        raise
    except Exception as error:  # noqa: BLE001 - the edge of the check: whatever it is, the job must be told
        return failure_of(error)


def _look(context: WorkerContext, claim: Claim, heartbeat: Heartbeat) -> Checked | Ending:
    job_id, settings = claim.lease.job_id, context.settings
    folder = settings.checkpoint_root / job_id

    def read() -> dict[str, Path]:
        with context.database.read(claim.tenant_id) as session:
            return check_inputs(session, context.store, claim.spec["dataset"])

    files = heartbeat.patiently(read)
    job = RunnerInput(
        job_id=job_id,
        attempt=claim.attempt,
        check_only=True,
        spec=claim.spec,
        staging=str(settings.staging_root / job_id),
        checkpoints=str(folder),
        files={role: str(path) for role, path in files.items()},
        log_fields=claim.origin.log_fields(),
        traceparent=tracing.traceparent(),
    )
    runner = context.runners.take()
    recorder = Recorder(context.database, claim, folder)
    supervision = Supervision(context, runner, heartbeat, recorder)
    ending = None
    try:
        runner.send(job)
        ending = blamed(supervision.watch(_LIMIT_S), job.files, context.store)
    finally:
        healthy = supervision.reusable and isinstance(ending, (Checked, Failed))
        context.runners.give_back(runner, healthy=healthy)
    if isinstance(ending, Finished):  # no check is answered like this
        return Failed("no_result", "The runner ended without an answer.", "internal")
    return ending
