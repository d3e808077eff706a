"""The end of one job starts another: the dispatcher is woken by it and does not wait for its next look."""

import threading
import time

import pytest

from service.dispatcher import Dispatcher
from service.jobs import leadership
from service.jobs.endings import Failed, settle
from service.jobs.states import JobState
from service.platform.database import Database
from service.platform.settings import Settings
from tests.fixtures.jobs import claimed, queued
from tests.fixtures.waiting import eventually
from tests.service.jobs.test_dispatcher import Recorder, add_worker

FAR_S = 300.0
QUIET_S = 1.0


class Watched(Dispatcher):
    """Tells when it began its last pass."""

    passed_at = 0.0

    def once(self) -> None:
        self.passed_at = time.monotonic()
        super().once()

    def rests(self) -> bool:
        return 0.0 < self.passed_at < time.monotonic() - QUIET_S


def test_the_end_of_a_job_frees_its_worker_for_the_next_at_once(
    database: Database, tenant: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leadership, "CHECK_S", FAR_S)
    patient = settings.model_copy(update={"dispatch_interval_s": FAR_S})
    add_worker(database, silent_ms=-600_000)  # alive for longer than this test
    first, second = queued(database, tenant), queued(database, tenant)
    claim = claimed(database, first, owner="wrk_train1")
    broker, stop = Recorder(), threading.Event()
    dispatcher = Watched(database, broker, patient)
    thread = threading.Thread(target=dispatcher.run, args=(stop,), daemon=True)
    thread.start()
    try:
        eventually(dispatcher.rests)
        assert broker.published == []  # the worker is busy
        with database.write() as session:
            ended = settle(
                session, claim.lease, Failed("training_diverged", "The loss is NaN.", "user"), settings
            )
        assert ended is JobState.FAILED  # and leaves no hint, which would wake it by itself
        eventually(lambda: broker.published == [(second, "train")], 20)
    finally:
        stop.set()
        queued(database, tenant)  # a new hint wakes it: it sees that it is to stop
        thread.join(20)
