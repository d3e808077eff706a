"""Reports to rows, gathered so that a fast training does not hammer the database."""

import logging
import time
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from core.reports import AnyReport, CheckpointReport, LogReport, MetricReport, Progress
from service.jobs.leases import Claim
from service.jobs.recording import Notes, record
from service.platform.database import Database, is_away, reason_of
from worker import checkpoints
from worker.progress import ProgressMeter

_LOG = logging.getLogger(__name__)
_INTERVAL_S = 1.0
_MOST_POINTS = 500


class Recorder:
    """Writes at most once a second; checkpoints at once, because a later attempt depends on their rows."""

    def __init__(self, database: Database, claim: Claim, checkpoint_folder: Path) -> None:
        self._database = database
        self._checkpoint_folder = checkpoint_folder
        self._claim = claim
        self._meter = ProgressMeter()
        self._notes = Notes()
        self._next_write = 0.0

    def add(self, report: AnyReport) -> None:
        """Take note of a report. Raises LeaseLost when writing shows that the job is no longer ours."""
        if isinstance(report, Progress):
            self._notes.progress = self._meter.read(report)
        elif isinstance(report, MetricReport):
            self._notes.metrics += report.metrics
        elif isinstance(report, LogReport):
            self._notes.logs.append(report)
        elif isinstance(report, CheckpointReport):
            self._notes.checkpoints.append(report)
        self.write_if_due()

    def write_if_due(self) -> None:
        """Raises LeaseLost."""
        urgent = self._notes.checkpoints or len(self._notes.metrics) >= _MOST_POINTS
        if urgent or time.monotonic() >= self._next_write:
            self.write()

    def write(self) -> None:
        """Write what there is; a database that is away is tried again later. Raises LeaseLost."""
        self._next_write = time.monotonic() + _INTERVAL_S
        if not self._notes:
            return
        try:
            with self._database.write() as session:
                record(session, self._claim.lease, self._claim.attempt, self._notes)
        except SQLAlchemyError as error:
            if not is_away(error):
                raise
            _LOG.warning("database unavailable, reports are kept: %s", reason_of(error))
            return
        recorded, self._notes = self._notes.checkpoints, Notes()
        if recorded:
            self._prune()

    def _prune(self) -> None:
        # Not in the runner: until a checkpoint is on record, the older ones are all that a later attempt has.
        try:
            checkpoints.prune(self._database, self._checkpoint_folder)
        except SQLAlchemyError as error:
            if not is_away(error):
                raise
            _LOG.warning("database unavailable, old checkpoints stay for now: %s", reason_of(error))
