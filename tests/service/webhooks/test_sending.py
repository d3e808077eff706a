"""Messages on their way: signed, repeated, given up; over real sockets."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import standardwebhooks
from sqlalchemy import update

from service.audit.tables import AuditEvent
from service.jobs import service as jobs
from service.platform.clock import db_now
from service.platform.database import Database
from service.platform.settings import Settings, environment_of
from service.platform.wakeups import announce
from service.webhooks import service
from service.webhooks.outcomes import RETRIES_S
from service.webhooks.schemas import WebhookCreate, WebhookUpdate
from service.webhooks.sending import sending
from service.webhooks.tables import Delivery, Webhook
from tests.fixtures.jobs import queued, train_spec
from tests.fixtures.receiver import NETWORKS, Received, Receiver, receiving
from tests.fixtures.waiting import eventually


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"webhook_networks": NETWORKS, "webhook_timeout_s": 1.0})


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as opened:
        yield opened


@pytest.fixture
def hook(database: Database, tenant: str, receiver: Receiver) -> tuple[str, str]:
    """A webhook's id and secret; it wants to know of queued jobs."""
    return made(database, tenant, receiver.url)


def made(database: Database, tenant: str, url: str) -> tuple[str, str]:
    with database.write() as session:
        webhook, secret = service.create(session, tenant, WebhookCreate(url=url, events=["job.queued"]))
        return webhook.id, secret


def read(database: Database, webhook_id: str) -> tuple[Webhook, list[Delivery]]:
    with database.read() as session:
        rows = session.query(Delivery).filter_by(webhook_id=webhook_id).order_by(Delivery.id).all()
        return session.get_one(Webhook, webhook_id), rows


def make_due(database: Database) -> None:
    with database.write() as session:
        session.execute(update(Delivery).where(Delivery.due_at.is_not(None)).values(due_at=db_now() - 1))
        announce(session.connection(), service.DELIVERIES)


def settled(database: Database, webhook_id: str, attempts: int) -> Delivery:
    """The one delivery, once it has had so many attempts."""

    def look() -> Delivery | None:
        (delivery,) = read(database, webhook_id)[1]
        return delivery if len(delivery.attempts) == attempts else None

    return eventually(look)  # type: ignore[return-value]  # it returns what is true


def verify(secret: str, message: Received) -> dict[str, Any]:
    """The content, by the independent implementation of the standard. Raises where the signature is wrong."""
    content: dict[str, Any] = standardwebhooks.Webhook(secret).verify(message.body.decode(), message.headers)
    return content


def test_a_message_arrives_once_and_verifies(
    database: Database, settings: Settings, tenant: str, receiver: Receiver, hook: tuple[str, str]
) -> None:
    with sending(database, settings):
        job_id = queued(database, tenant)
        delivery = settled(database, hook[0], 1)
    (message,) = receiver.received
    content = verify(hook[1], message)
    assert content["type"] == "job.queued"
    assert content["data"] == {"job_id": job_id, "kind": "train", "state": "queued", "seq": 1}
    assert datetime.fromisoformat(content["timestamp"]) == delivery.created_at
    assert (message.path, message.headers["content-type"]) == ("/hook", "application/json")
    assert message.headers["host"] == receiver.url.split("/")[2]
    assert (receiver.ids(), delivery.state, delivery.due_at) == ([delivery.id], "delivered", None)
    assert delivery.attempts[0]["status"] == 204
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        verify(made(database, tenant, receiver.url)[1], message)


def test_what_is_rolled_back_is_not_told(database: Database, tenant: str, hook: tuple[str, str]) -> None:
    with database.write() as session:
        jobs.enqueue(session, tenant, train_spec())
        session.rollback()
    assert read(database, hook[0])[1] == []


def test_a_failed_message_is_sent_again_later_and_later_and_then_given_up(
    database: Database, settings: Settings, tenant: str, receiver: Receiver, hook: tuple[str, str]
) -> None:
    receiver.answers = [500] * (len(RETRIES_S) + 1)
    queued(database, tenant)
    with sending(database, settings):
        for number, pause_s in enumerate(RETRIES_S, 1):
            delivery = settled(database, hook[0], number)
            assert delivery.state == "pending"
            assert delivery.due_at is not None
            assert 0.85 * pause_s < (delivery.due_at - datetime.now(UTC)).total_seconds() < 1.15 * pause_s
            make_due(database)
        delivery = settled(database, hook[0], len(RETRIES_S) + 1)
        assert (delivery.state, delivery.due_at) == ("failed", None)
        assert read(database, hook[0])[0].failing_since is not None
        with database.write() as session:
            service.redeliver(session, hook[0], delivery.id)
        delivery = settled(database, hook[0], len(RETRIES_S) + 2)
    assert (delivery.state, read(database, hook[0])[0].failing_since) == ("delivered", None)
    assert set(receiver.ids()) == {delivery.id}
    assert len({message.body for message in receiver.received}) == 1


@pytest.mark.parametrize(("answer", "days", "reason"), [(410, 0, "gone"), (500, 6, "failing")])
def test_a_receiver_that_is_gone_or_fails_for_days_is_turned_off(
    database: Database,
    settings: Settings,
    tenant: str,
    receiver: Receiver,
    answer: int,
    days: int,
    reason: str,
) -> None:
    webhook_id, _ = made(database, tenant, receiver.url)
    receiver.answers = [answer]
    with database.write() as session:
        asked = WebhookCreate(url="https://example.com/", events=["webhook.disabled"])
        told_id = service.create(session, tenant, asked)[0].id
        if days:
            session.get_one(Webhook, webhook_id).failing_since = datetime.now(UTC) - timedelta(days=days)
    queued(database, tenant)
    with sending(database, settings):
        delivery = settled(database, webhook_id, 1)
        assert (delivery.state, delivery.due_at) == ("failed", None)
        webhook, _ = read(database, webhook_id)
        assert webhook.disabled_reason == reason
        (told,) = read(database, told_id)[1]
        assert (told.type, told.data) == ("webhook.disabled", {"webhook_id": webhook_id, "reason": reason})
        with database.read() as session:
            noted = session.query(AuditEvent).filter_by(tenant_id=tenant).one()
            assert (noted.operation, noted.resource) == ("webhooks_disable", webhook_id)
        queued(database, tenant)
        assert len(read(database, webhook_id)[1]) == 1
        with database.write() as session:
            service.change(session, webhook_id, WebhookUpdate(enabled=True))
            service.redeliver(session, webhook_id, delivery.id)
        assert settled(database, webhook_id, 2).state == "delivered"


def test_a_slow_receiver_holds_up_nobody_else(
    database: Database, settings: Settings, tenant: str, receiver: Receiver
) -> None:
    patient = settings.model_copy(update={"webhook_timeout_s": 300.0})  # nobody gives up meanwhile
    with receiving() as slow:
        slow.pause_s = 600
        made(database, tenant, slow.url)
        made(database, tenant, receiver.url)
        for _ in range(20):
            queued(database, tenant)
        with sending(database, patient):
            eventually(lambda: len(receiver.received) == 20)
            assert len(slow.received) <= 4


def test_a_receiver_that_does_not_answer_is_given_up(
    database: Database, settings: Settings, tenant: str, receiver: Receiver, hook: tuple[str, str]
) -> None:
    receiver.pause_s = 600
    queued(database, tenant)
    with sending(database, settings):
        delivery = settled(database, hook[0], 1)
    assert delivery.attempts[0]["error"] == "no complete answer within 1 s"


def test_a_redirect_is_not_followed(
    database: Database, settings: Settings, tenant: str, receiver: Receiver, hook: tuple[str, str]
) -> None:
    receiver.answers, receiver.headers = [307], {"Location": receiver.url + "/elsewhere"}
    queued(database, tenant)
    with sending(database, settings):
        delivery = settled(database, hook[0], 1)
    assert ([m.path for m in receiver.received], delivery.attempts[0]["status"]) == (["/hook"], 307)


def test_both_secrets_sign_for_a_day_after_a_rotation(
    database: Database, settings: Settings, tenant: str, receiver: Receiver, hook: tuple[str, str]
) -> None:
    with database.write() as session:
        _, new = service.rotate_secret(session, hook[0])
    assert new != hook[1]
    with sending(database, settings):
        queued(database, tenant)
        eventually(lambda: receiver.received)
        for secret in (new, hook[1]):
            verify(secret, receiver.received[0])
        with database.write() as session:
            session.get_one(Webhook, hook[0]).previous_until = datetime.now(UTC) - timedelta(seconds=1)
        queued(database, tenant)
        eventually(lambda: len(receiver.received) == 2)
    verify(new, receiver.received[1])
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        verify(hook[1], receiver.received[1])


def test_a_sender_with_another_key_sends_nothing_and_says_so(
    database: Database, settings: Settings, tenant: str, receiver: Receiver, hook: tuple[str, str]
) -> None:
    queued(database, tenant)
    other = Settings(**{**settings.model_dump(), "secret_key": "another"})
    with sending(database, other):
        delivery = settled(database, hook[0], 1)
    assert "CLEAVE_SECRET_KEY" in delivery.attempts[0]["error"]
    assert receiver.received == []


def test_the_address_that_was_checked_is_the_one_connected_to(
    database: Database, settings: Settings, tenant: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that answers otherwise the second time (DNS rebinding) is not asked a second time."""
    port = receiver.url.split(":")[2].split("/")[0]
    webhook_id, _ = made(database, tenant, f"http://rebinding.test:{port}/hook")
    answers = ["127.77.0.1", "127.0.0.1"]
    asked: list[str] = []

    def answer(host: str, *values: Any, **named: Any) -> list[Any]:
        asked.append(host)
        return look_up(answers.pop(0) if host == "rebinding.test" else host, *values, **named)

    look_up = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", answer)
    queued(database, tenant)
    with sending(database, settings):
        assert settled(database, webhook_id, 1).state == "delivered"
        make_it_again = read(database, webhook_id)[1][0].id
        with database.write() as session:
            service.redeliver(session, webhook_id, make_it_again)
        refused = settled(database, webhook_id, 2)
    assert refused.attempts[1]["status"] is None
    assert "https" in refused.attempts[1]["error"]
    assert asked.count("rebinding.test") == 2
    (message,) = receiver.received
    assert message.headers["host"] == f"rebinding.test:{port}"


def test_a_dispatcher_killed_in_the_middle_sends_again_under_the_same_id(
    database: Database, settings: Settings, tenant: str, receiver: Receiver, hook: tuple[str, str]
) -> None:
    receiver.pause_s = 1.5

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-m", "service.dispatcher"], env=environment_of(settings))

    first = start()
    try:
        queued(database, tenant)
        eventually(lambda: receiver.received, 30)
        os.kill(first.pid, signal.SIGKILL)
    finally:
        first.kill()
        first.wait()
    assert read(database, hook[0])[1][0].state == "pending"
    receiver.pause_s = 0
    second = start()
    try:
        delivery = eventually(lambda: [d for d in read(database, hook[0])[1] if d.state == "delivered"], 30)[
            0
        ]
    finally:
        second.terminate()
        assert second.wait(10) == 0
    assert receiver.ids() == [delivery.id] * 2
    assert json.loads(receiver.received[0].body) == json.loads(receiver.received[1].body)
