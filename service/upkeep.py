"""Upkeep: dropping what nobody asks for any more, in threads beside dispatching: no job waits for it."""

import logging
import threading
from collections.abc import Callable
from functools import partial

from sqlalchemy.exc import SQLAlchemyError

from service.artifacts import collection
from service.audit import repository as audit
from service.jobs import outbox, retention
from service.platform.database import Database
from service.platform.errors import ServiceError
from service.platform.settings import Settings
from service.platform.storage import open_store
from service.uploads import retention as uploads
from service.webhooks import repository as webhooks

_LOG = logging.getLogger(__name__)


class Upkeep:
    """May run twice at a time, and be cut off anywhere: what is left is dropped the next time."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._threads: dict[str, threading.Thread] = {}

    def forget_beside(self) -> None:
        """`forget` in a thread: thousands of rows and folders take seconds."""
        self._beside(self.forget)

    def collect_beside(self) -> None:
        """`collect` in a thread: going through a large store takes minutes."""
        self._beside(self.collect)

    def forget(self) -> None:
        """Drop rows and folders that the settings, or nothing, keep any longer."""
        database, settings = self._database, self._settings
        remove_folders = partial(retention.remove_folders, database)
        steps: list[Callable[[], None]] = [
            partial(outbox.forget, database),
            partial(remove_folders, settings.staging_root, retention.HOUR_MS),
            partial(retention.remove_used_up, database, settings.checkpoint_root),
            partial(uploads.forget, database, settings),
            partial(webhooks.forget, database),
            self._tidy,
        ]
        if settings.checkpoints_kept_days is not None:
            age_ms = _ms(settings.checkpoints_kept_days)
            steps.append(partial(remove_folders, settings.checkpoint_root, age_ms))
        if settings.events_kept_days is not None:
            steps.append(partial(retention.forget_stories, database, _ms(settings.events_kept_days)))
        if settings.audit_kept_days is not None:
            steps.append(partial(audit.forget, database, _ms(settings.audit_kept_days)))
        for step in steps:
            _patiently(step)

    def _tidy(self) -> None:
        """Remove what processes that were killed while they stored a file have left half-written."""
        if self._settings.stores_in_s3 or self._settings.artifact_root.is_dir():
            open_store(self._settings).tidy(collection.LEFTOVER_S)

    def collect(self) -> None:
        """Remove stored files that nothing names any more, where the settings say after how long."""
        if self._settings.gc_grace_hours is not None:
            _patiently(partial(self._collect, self._settings.gc_grace_hours * 3600))

    def _collect(self, grace_s: float) -> None:
        settings = self._settings
        if settings.stores_in_s3 or settings.artifact_root.is_dir():
            report = collection.collect(self._database, open_store(settings), grace_s)
            if report.removed or report.missing:
                _LOG.warning("removed %d stored files, missed %d", report.removed, len(report.missing))

    def _beside(self, duty: Callable[[], None]) -> None:
        """In a thread, unless it is still at it since the last time."""
        thread = self._threads.get(duty.__name__)
        if thread is None or not thread.is_alive():
            self._threads[duty.__name__] = threading.Thread(target=duty, name=duty.__name__, daemon=True)
            self._threads[duty.__name__].start()


def _patiently(step: Callable[[], None]) -> None:
    """Whatever is away, the next time will do."""
    try:
        step()
    except (ServiceError, SQLAlchemyError, OSError) as error:
        _LOG.warning("upkeep put off: %s", error)


def _ms(days: float) -> int:
    return round(days * retention.DAY_MS)
