"""The job machine under any order of events: one after another (hypothesis), and truly at once (threads)."""

import threading
from collections.abc import Callable
from contextlib import suppress
from random import Random

import hypothesis
import pytest
from hypothesis.stateful import run_state_machine_as_test

from service.jobs import leases, service
from service.jobs.endings import settle
from service.jobs.transitions import LeaseLost
from service.platform.database import Database
from service.platform.errors import AlreadyTerminalError
from service.platform.settings import Settings
from tests.fixtures.jobs import queued
from tests.service.jobs.checks_machine import CheckMachine
from tests.service.jobs.known import ENDINGS
from tests.service.jobs.promises import broken_promises, finish

TURNS = 60


@pytest.mark.timeout(300)  # thousands of transactions
def test_any_order_of_events_keeps_the_promises(database: Database, settings: Settings) -> None:
    few = settings.model_copy(update={"max_infra_attempts": 4})
    run_state_machine_as_test(
        lambda: CheckMachine(database, few),  # type: ignore[arg-type]  # a factory will do
        settings=hypothesis.settings(
            max_examples=20, stateful_step_count=25, deadline=None, derandomize=True, database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
            phases=[hypothesis.Phase.generate],  # to shrink real transactions takes longer than to read them
        ),
    )  # fmt: skip


class Crowd:
    """Two workers, a dispatcher and a caller that care for nobody's order."""

    def __init__(self, database: Database, settings: Settings, jobs: list[str]) -> None:
        self.database, self.settings, self.jobs = database, settings, jobs
        self.errors: list[BaseException] = []

    def work(self, draw: Random) -> None:
        owner = f"wrk_{draw.random()}"
        with self.database.write() as session:
            claim = leases.claim(session, draw.choice(self.jobs), owner, 60.0)
        if claim is None:
            return
        with suppress(LeaseLost):
            with self.database.write() as session:
                leases.renew(session, claim.lease, 60.0)
            with self.database.write() as session:
                if draw.random() < 0.1:
                    finish(session, claim.lease)
                else:
                    settle(session, claim.lease, draw.choice(ENDINGS[:4]), self.settings)

    def dispatch(self, _: Random) -> None:
        with self.database.write() as session:
            leases.expire_all(session)
        for job_id in self.jobs:
            with self.database.write() as session:
                leases.reap(session, job_id, self.settings.max_infra_attempts)

    def call(self, draw: Random) -> None:
        if draw.random() < 0.05:
            with suppress(AlreadyTerminalError), self.database.write() as session:
                service.cancel(session, draw.choice(self.jobs))

    def act(self, seed: int, turn: Callable[[Random], None]) -> None:
        try:
            draw = Random(seed)
            for _ in range(TURNS):
                turn(draw)
        except BaseException as error:
            self.errors.append(error)
            raise


def test_all_of_them_at_once_keep_the_promises(database: Database, tenant: str, settings: Settings) -> None:
    jobs = [queued(database, tenant) for _ in range(6)]
    crowd = Crowd(database, settings, jobs)
    turns = [crowd.work, crowd.work, crowd.dispatch, crowd.call]
    threads = [threading.Thread(target=crowd.act, args=pair) for pair in enumerate(turns)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert crowd.errors == []
    with database.read() as session:
        assert broken_promises(session) == []
        assert sum(service.get(session, job_id).attempt for job_id in jobs) > len(jobs)
