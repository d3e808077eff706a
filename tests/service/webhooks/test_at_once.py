"""Many callers at once, and a sender beside them: no webhook too many, no secret lost, no deadlock."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier

import pytest

from service.jobs import service as jobs
from service.platform.clock import db_now
from service.platform.database import Database
from service.platform.errors import NotFoundError
from service.webhooks import service
from service.webhooks.outcomes import Attempt, Message, settle
from service.webhooks.schemas import WebhookCreate, WebhookUpdate
from service.webhooks.tables import Delivery, Webhook
from tests.fixtures.client import Account
from tests.fixtures.database import waits_for_a_lock
from tests.fixtures.jobs import queued
from tests.fixtures.waiting import eventually

URL = "https://example.com/hook"
ARRIVED = Attempt(status=204, error=None, milliseconds=1)
FAILED = Attempt(status=500, error=None, milliseconds=1)


def create(database: Database, tenant: str) -> str:
    with database.write() as session:
        return service.create(session, tenant, WebhookCreate(url=URL))[0].id


def test_of_many_at_once_no_more_than_there_may_be(account: Account) -> None:
    with ThreadPoolExecutor(12) as pool:
        made = list(pool.map(lambda _: account.http.post("/v1/webhooks", json={"url": URL}), range(30)))
    assert sorted(answer.status_code for answer in made) == [201] * 20 + [409] * 10
    assert len(account.http.get("/v1/webhooks").json()["data"]) == 20


def test_of_two_rotations_at_once_both_secrets_sign(database: Database, tenant: str) -> None:
    webhook_id = create(database, tenant)
    begun = Barrier(2)
    secrets = []

    def rotate() -> None:
        with database.write() as session:
            if database.engine.dialect.name == "postgresql":  # SQLite has one writer
                seen = service.get(session, webhook_id)
                begun.wait(10)
                assert seen.previous_salt is None
            secrets.append(service.rotate_secret(session, webhook_id)[1])

    _at_once(rotate, rotate)
    with database.read() as session:
        webhook = session.get_one(Webhook, webhook_id)
        now = service.secret(session, webhook)
        webhook.salt = webhook.previous_salt or ""
        assert {now, service.secret(session, webhook)} == set(secrets)


@pytest.mark.parametrize("sent", ["of a job", "test", "again"])
def test_what_is_removed_meanwhile_is_told_nothing_and_has_nothing_refused(
    database: Database, tenant: str, sent: str
) -> None:
    webhook_id = create(database, tenant)
    message = _due(database, webhook_id)

    def send() -> str:
        if sent == "of a job":
            job_id = queued(database, tenant)
            with database.write() as session:
                return str(jobs.cancel(session, job_id)[0].state)
        try:
            with database.write() as session:
                if sent == "test":
                    return service.test(session, webhook_id).state
                return service.redeliver(session, webhook_id, message.delivery_id).state
        except NotFoundError:
            return "not found"

    with ThreadPoolExecutor(1) as pool:
        with database.write() as session:
            service.remove(session, webhook_id, None)
            answer = pool.submit(send)
            if database.engine.dialect.name == "postgresql":  # SQLite has one writer
                eventually(lambda: answer.done() or waits_for_a_lock(database))
        assert answer.result() == ("cancelled" if sent == "of a job" else "not found")
    with database.read() as session:
        assert session.query(Delivery).all() == []


@pytest.mark.parametrize("attempt", [ARRIVED, FAILED], ids=["arrived", "failed"])
def test_turning_off_and_settling_do_not_wait_for_each_other(
    database: Database, tenant: str, attempt: Attempt
) -> None:
    """Neither is refused by the database (a deadlock), and what is turned off sends no more."""
    for _ in range(10):
        webhook_id = create(database, tenant)
        messages = [_due(database, webhook_id) for _ in range(4)]
        begun = Barrier(5)

        def turn_off(webhook_id: str = webhook_id, begun: Barrier = begun) -> None:
            begun.wait(10)
            with database.write() as session:
                service.change(session, webhook_id, WebhookUpdate(enabled=False))

        def end(message: Message, begun: Barrier = begun) -> None:
            begun.wait(10)
            with database.write() as session:
                settle(session, message, attempt)

        _at_once(turn_off, *(partial(end, message) for message in messages))
        with database.read() as session:
            rows = session.query(Delivery).filter_by(webhook_id=webhook_id).all()
        assert [row.due_at for row in rows] == [None] * 4
        with database.write() as session:
            service.remove(session, webhook_id, None)


def _due(database: Database, webhook_id: str) -> Message:
    with database.write() as session:
        session.query(Webhook).filter_by(id=webhook_id).update({"failing_since": db_now()})
        delivery_id = service.test(session, webhook_id).id
        session.query(Delivery).filter_by(id=delivery_id).update({"tries": 1})
    return Message(delivery_id, webhook_id, URL, {}, b"")


def _at_once(*calls: Callable[[], None]) -> None:
    """Run them in threads of their own. Raises the first error of any."""
    with ThreadPoolExecutor(len(calls)) as pool:
        for running in [pool.submit(call) for call in calls]:
            running.result()
