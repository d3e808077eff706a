"""Receivers and name servers that take their time hold up nobody else's messages."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from service.platform.database import Database
from service.platform.settings import Settings, environment_of
from service.tenants.service import ensure_tenant
from service.webhooks.outcomes import Attempt
from service.webhooks.sending import sending
from tests.fixtures.jobs import queued
from tests.fixtures.receiver import HOST, NETWORKS, Receiver, receiving
from tests.fixtures.waiting import eventually
from tests.service.webhooks.test_sending import made, read, settled

# More than any test waits for: what is held up, is.
_LONG_S = 60.0


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"webhook_networks": NETWORKS, "webhook_timeout_s": _LONG_S})


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as opened:
        yield opened


@pytest.fixture
def other(database: Database, receiver: Receiver) -> str:
    """Another tenant, whose receiver is quick."""
    with database.write() as session:
        tenant_id = ensure_tenant(session, "other")
    made(database, tenant_id, receiver.url)
    return tenant_id


def test_all_the_receivers_that_a_tenant_may_have_can_be_slow(
    database: Database, settings: Settings, tenant: str, receiver: Receiver, other: str
) -> None:
    with receiving() as slow:
        slow.pause_s = _LONG_S
        for _ in range(20):
            made(database, tenant, slow.url)
        for _ in range(5):
            queued(database, tenant)
        with sending(database, settings):
            eventually(lambda: len(slow.received) >= 16, 20)
            for _ in range(5):
                queued(database, other)
            eventually(lambda: len(receiver.received) == 5, 20)


def test_a_name_server_may_be_silent(
    database: Database,
    settings: Settings,
    tenant: str,
    receiver: Receiver,
    other: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its threads cannot be stopped; they outlast the attempt, and are no others' then either."""
    over, look_up = threading.Event(), socket.getaddrinfo
    waiting: list[str] = []

    def answer(host: Any, *values: Any, **named: Any) -> Any:
        if host == "silent.test":
            waiting.append(host)
            over.wait(_LONG_S)
            host = HOST
        return look_up(host, *values, **named)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    for _ in range(20):
        made(database, tenant, "http://silent.test:1/hook")
    for _ in range(5):
        queued(database, tenant)
    try:
        with sending(database, settings.model_copy(update={"webhook_timeout_s": 0.2})):
            eventually(lambda: len(waiting) == 80, 20)
            queued(database, other)
            eventually(lambda: receiver.received, 20)
            assert len(waiting) == 80
    finally:
        over.set()


_ASKING = """
import socket, threading
from service import dispatcher

def answer(host, *values, **named):
    if host != "silent.test":
        return look_up(host, *values, **named)
    print("asked", flush=True)
    threading.Event().wait()

look_up, socket.getaddrinfo = socket.getaddrinfo, answer
dispatcher.main()
"""


def test_a_dispatcher_that_is_to_stop_waits_for_no_name_server(
    database: Database, settings: Settings, tenant: str
) -> None:
    made(database, tenant, "http://silent.test:1/hook")
    queued(database, tenant)
    command = [sys.executable, "-c", _ASKING]
    with subprocess.Popen(command, env=environment_of(settings), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"asked\n"
            process.terminate()
            assert process.wait(90) == 0
        finally:
            process.kill()


@pytest.mark.parametrize(("asked", "least", "most"), [("60", 59, 61), ("99999", 295, 301), ("soon", 0, 6)])
def test_a_busy_receiver_says_how_long_to_leave_it_alone(
    database: Database,
    settings: Settings,
    tenant: str,
    receiver: Receiver,
    asked: str,
    least: float,
    most: float,
) -> None:
    webhook_id, _ = made(database, tenant, receiver.url)
    receiver.answers, receiver.headers = [429], {"Retry-After": asked}
    queued(database, tenant)
    with sending(database, settings):
        delivery = settled(database, webhook_id, 1)
    assert (delivery.state, delivery.attempts[0]["status"]) == ("pending", 429)
    assert delivery.due_at is not None
    told_at = datetime.fromisoformat(delivery.attempts[0]["at"])
    assert least <= (delivery.due_at - told_at.astimezone(UTC)).total_seconds() <= most
    assert read(database, webhook_id)[0].disabled_at is None


def test_only_busy_receivers_are_asked() -> None:
    assert Attempt(500, None, 1, "60").asked_s == 0
    assert Attempt(503, None, 1, "60").asked_s == 60
    assert Attempt(503, None, 1, "9" * 400).asked_s == 300
