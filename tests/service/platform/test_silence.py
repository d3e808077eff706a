"""Servers that hang: what is asked of them fails in time, and works again when they do."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kombu.exceptions import OperationalError as BrokerError
from sqlalchemy import event, make_url, text
from sqlalchemy.exc import OperationalError

from service.platform.database import Database, without_time_limit
from service.platform.postgres import PatientConnection
from service.platform.settings import Settings
from service.queue import CeleryPublisher, create_celery
from tests.fixtures import redis as redis_fixture
from tests.fixtures.client import Account, Api, open_api
from tests.fixtures.database import settings_for
from tests.fixtures.problems import problem
from tests.fixtures.proxy import Proxy
from tests.fixtures.waiting import eventually
from tests.service.platform.test_wakeups import NOTHING_S, WITHIN_S, listening

pytestmark = pytest.mark.services
# Less than settings allow.
SILENCE_S = 0.6


def pause(database: Database) -> None:
    with database.read() as session:
        session.execute(text("SELECT 1"))


class TestDatabase:
    @pytest.fixture
    def proxy(self, postgres_database: str) -> Iterator[Proxy]:
        with Proxy(make_url(postgres_database).port or 5432) as proxy:
            yield proxy

    @pytest.fixture
    def database(self, postgres_database: str, proxy: Proxy, tmp_path: Path) -> Iterator[Database]:
        url = make_url(postgres_database).set(port=proxy.port).render_as_string(hide_password=False)
        settings = settings_for(tmp_path, database_url=url)
        opened = Database(settings.model_copy(update={"database_timeout_s": SILENCE_S}))
        yield opened
        proxy.release()
        opened.dispose()

    def test_a_question_without_an_answer_is_an_error(self, database: Database, proxy: Proxy) -> None:
        pause(database)
        proxy.hold()
        began = time.monotonic()
        with pytest.raises(OperationalError) as caught:
            pause(database)
        assert caught.value.connection_invalidated
        with pytest.raises(OperationalError):  # with a new connection
            pause(database)
        assert time.monotonic() - began < 10
        proxy.release()
        pause(database)

    def test_who_listens_is_not_asking(self, database: Database) -> None:
        with listening(database, "topic") as rings:
            rings.get(timeout=WITHIN_S)  # it has begun
            with pytest.raises(queue.Empty):
                rings.get(timeout=2 * SILENCE_S + 1)  # and does not begin again

    def test_what_may_take_long_may_be_silent(self, database: Database) -> None:
        with database.engine.connect() as connection:
            without_time_limit(connection)
            connection.execute(text("SELECT pg_sleep(:s)"), {"s": SILENCE_S + NOTHING_S})


class TestBroker:
    @pytest.fixture
    def proxy(self) -> Iterator[Proxy]:
        with Proxy(redis_fixture.PORT) as proxy:
            yield proxy

    @pytest.fixture
    def settings(self, proxy: Proxy, redis: str, tmp_path: Path) -> Settings:
        url = f"redis://127.0.0.1:{proxy.port}/0"
        made = settings_for(tmp_path, broker_url=url, broker_prefix=redis)
        return made.model_copy(update={"broker_timeout_s": SILENCE_S})

    def test_a_message_that_nobody_takes_is_an_error(self, settings: Settings, proxy: Proxy) -> None:
        with create_celery(settings) as app:
            publisher = CeleryPublisher(app)
            publisher.publish("job_1", "short")
            proxy.hold()
            began = time.monotonic()
            with pytest.raises(BrokerError):
                publisher.publish("job_2", "short")
            assert time.monotonic() - began < 10
            proxy.release()
            publisher.publish("job_3", "short")


class TestApi:
    """A server that falls silent between two requests, or in the midst of one: one connection is tried anew,
    for the whole of the time; nobody tries another after it.
    """

    TIMEOUT_S = 2.0

    @pytest.fixture
    def proxy(self, postgres_database: str) -> Iterator[Proxy]:
        with Proxy(make_url(postgres_database).port or 5432) as proxy:
            yield proxy

    @pytest.fixture
    def api(
        self, postgres_database: str, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[Api]:
        monkeypatch.setattr("service.platform.database._ALIVE_S", 0.0)  # every connection has been idle
        monkeypatch.setattr("service.app._CALLER_KNOWN_S", 0.0)
        url = make_url(postgres_database).set(port=proxy.port).render_as_string(hide_password=False)
        settings = settings_for(tmp_path, database_url=url)
        settings = settings.model_copy(update={"database_timeout_s": self.TIMEOUT_S})
        database = Database(settings)
        with open_api(settings, database) as opened:
            yield opened
            proxy.release()
        database.dispose()

    @staticmethod
    @contextmanager
    def connecting(meanwhile: Callable[[], object] = lambda: None) -> Iterator[list[int]]:
        """One entry for each connection that is tried from now on; `meanwhile` is called before it is."""
        tried: list[int] = []
        connect = PatientConnection.connect

        def count(*arguments: Any, **options: Any) -> PatientConnection:
            tried.append(len(tried))
            meanwhile()
            return connect(*arguments, **options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(PatientConnection, "connect", count)
            yield tried

    def test_between_two(self, api: Api, proxy: Proxy) -> None:
        """Also for who asks with the same key while the other waits."""
        shared, begun = api.app.state.shared, threading.Event()

        def until_another_waits() -> None:
            begun.set()
            eventually(lambda: shared._waiting)

        with api.account("silent") as account, ThreadPoolExecutor(2) as pool:
            assert account.http.get("/v1/models").status_code == 200
            proxy.hold()
            with self.connecting(until_another_waits) as tried:
                first = pool.submit(self.is_unavailable, account)
                assert begun.wait(60)
                second = pool.submit(self.is_unavailable, account)
                assert first.result()
                assert second.result()
            assert len(tried) == 1
            proxy.release()
            assert account.http.get("/v1/models").status_code == 200

    def test_while_the_key_is_looked_up(self, api: Api, proxy: Proxy) -> None:
        engine = api.app.state.database.engine
        with api.account("silent within") as account, self.connecting() as tried:

            def fall_silent(_: Any, __: Any, statement: str, *___: Any) -> None:
                if "FROM api_keys" in statement:
                    proxy.hold()
                    tried.clear()

            event.listen(engine, "after_cursor_execute", fall_silent)
            try:
                assert self.is_unavailable(account)
            finally:
                event.remove(engine, "after_cursor_execute", fall_silent)
            assert len(tried) == 1

    def test_an_idle_connection_has_a_quarter_of_the_time_to_show_that_it_lives(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        dialect, given = api.app.state.database.engine.dialect, []
        ping = dialect.do_ping

        def watched(connection: Any) -> bool:
            given.append(connection.silence_s)
            return bool(ping(connection))

        monkeypatch.setattr(dialect, "do_ping", watched)
        for _ in range(2):
            pause(api.app.state.database)
        assert set(given) == {0.25 * self.TIMEOUT_S}
        with api.app.state.database.engine.connect() as connection:
            assert connection.connection.driver_connection.silence_s == self.TIMEOUT_S

    @staticmethod
    def is_unavailable(account: Account) -> bool:
        answer = account.http.get("/v1/models")
        return (answer.status_code, problem(answer)["code"]) == (503, "unavailable")
