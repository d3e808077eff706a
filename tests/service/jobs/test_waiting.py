"""`Prefer: wait=N` in seconds, and everything that is not one; what ends a wait."""

import asyncio
import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from service.jobs import waiting
from service.jobs.schemas import EventRead
from service.jobs.waiting import EVENTS_PER_READ, EventReader, preferred_wait
from tests.fixtures.client import Account, Api
from tests.fixtures.jobs import claimed
from tests.service.jobs.test_endpoints import stream, submit


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        (None, 0),
        ("wait=5", 5),
        ("respond-async, wait=7", 7),
        ("wait=9999", 60),
        ("wait=-1", 0),
        ("wait", 0),
        ("wait=²", 0),
        ("wait=" + "9" * 400, 60),
        ("wait=nan", 0),
    ],
)
def test_preferred_wait(prefer: str | None, seconds: float) -> None:
    assert preferred_wait(prefer) == seconds


@contextmanager
def soon(act: Callable[[], object]) -> Iterator[None]:
    """`act` half a second from now."""
    timer = threading.Timer(0.5, act)
    timer.start()
    yield
    timer.join()


def test_a_commit_ends_every_kind_of_waiting(
    api: Api, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "POLL_S", 3600.0)
    job_id = submit(account)
    with soon(lambda: claimed(api.database, job_id)):
        held = account.http.get(f"/v1/jobs/{job_id}/events?after=1&wait=60").json()["data"]
    assert [event["seq"] for event in held] == [2, 3]

    with soon(lambda: account.http.post(f"/v1/jobs/{job_id}/cancel")):
        events = stream(account, job_id, **{"Last-Event-ID": "3"})
        assert [seq for seq, _, _ in itertools.islice(events, 1)] == [4]

    waited = submit(account)
    with soon(lambda: account.http.post(f"/v1/jobs/{waited}/cancel")):
        answer = account.http.get(f"/v1/jobs/{waited}", headers={"Prefer": "wait=60"})
    assert answer.json()["state"] == "cancelled"


def test_a_stream_on_which_nothing_happens_asks_ever_less_often(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "POLL_S", 0.02)
    asked = 0

    class Idle(EventReader):
        def after(self, seq: int, limit: int = EVENTS_PER_READ) -> list[EventRead]:
            nonlocal asked
            asked += 1
            return super().after(seq, limit)

    async def listen() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(2):
                async for _ in waiting.stream(Idle(api.database, "ten_none", "job_none"), 0):
                    pass

    asyncio.run(listen())
    assert 3 <= asked < 25  # at every poll it would be up to a hundred
