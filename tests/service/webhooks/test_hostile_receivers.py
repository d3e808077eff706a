"""Receivers that answer with anything but an answer: each attempt ends, is told, and leaves nothing."""

import asyncio
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from service.platform.settings import Settings
from service.webhooks.outcomes import Attempt, Message
from service.webhooks.posting import Poster
from tests.fixtures.database import settings_for
from tests.fixtures.receiver import HOST, NETWORKS, receiving

Behaviour = Callable[[socket.socket], object]
OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_for(tmp_path, webhook_networks=NETWORKS, webhook_timeout_s=1.0)


@contextmanager
def answering(behave: Behaviour) -> Iterator[str]:
    """The URL of a receiver that reads a request and then does what it likes with the connection."""

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(1 << 16)
            behave(connection)

    def accept() -> None:
        with suppress(OSError):  # closed
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server((HOST, 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://{HOST}:{listener.getsockname()[1]}/hook"


def says(*pieces: bytes, endlessly: bytes = b"", pause_s: float = 0) -> Behaviour:
    """Send these, then one thing for ever, a piece each `pause_s` seconds."""

    def behave(connection: socket.socket) -> None:
        for piece in itertools.chain(pieces, itertools.repeat(endlessly) if endlessly else ()):
            connection.sendall(piece)
            time.sleep(pause_s)

    return behave


def post(settings: Settings, *urls: str) -> list[Attempt]:
    """One message to each, one after the other, by one poster."""

    async def send() -> list[Attempt]:
        async with Poster(settings) as poster:
            messages = [Message("dlv_1", "whk_1", url, {}, b"{}") for url in urls]
            return [await poster.post(message, poster.look_up(message)) for message in messages]

    return asyncio.run(send())


@pytest.mark.parametrize(
    "behaviour",
    [
        says(pause_s=30, endlessly=b" "),
        says(),
        says(endlessly=b"x" * 65_536),
        says(OK, endlessly=b"X-Header: and another one\r\n" * 1000),
        says(OK, b"X-Header: ", endlessly=b"x" * 65_536),
        says(*(bytes([byte]) for byte in OK), pause_s=0.3),
        says(endlessly=b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000),
        says(b"HTTP/1.1 099 None\r\n\r\n"),
        says(OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
    ],
    ids=[
        "silent", "closed at once", "no status", "endless headers", "endless header", "drips",
        "endless hints", "status below 100", "two lengths",
    ],
)  # fmt: skip
def test_what_never_answers_is_a_failure_with_a_reason(settings: Settings, behaviour: Behaviour) -> None:
    with answering(behaviour) as url:
        (attempt,) = post(settings, url)
    assert (attempt.status, attempt.arrived) == (None, False)
    assert attempt.error


@pytest.mark.parametrize(
    "behaviour",
    [
        says(OK + b"Content-Length: 9999999999\r\n\r\n", endlessly=b"x" * (1 << 20)),
        says(OK + b"Content-Length: 99\r\n\r\n", endlessly=b"x", pause_s=0.3),
        says(OK + b"Content-Length: 99\r\n\r\nand no more"),
        says(OK + b"Transfer-Encoding: chunked\r\n\r\n1;", endlessly=b"x" * 65_536),
        says(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", endlessly=b"X-Trailer: x\r\n" * 1000),
        says(OK + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"),
    ],
    ids=["gigabytes", "drips", "cut", "endless chunk", "endless trailers", "no gzip"],
)
def test_its_status_is_the_answer_whatever_its_body_does(settings: Settings, behaviour: Behaviour) -> None:
    with answering(behaviour) as url:
        (attempt,) = post(settings, url)
    assert (attempt.status, attempt.error) == (200, None)


def test_cookies_of_a_receiver_are_neither_kept_nor_sent(settings: Settings) -> None:
    """Receivers may share an address, and each answer could bring new ones for ever."""
    with receiving() as receiver:
        receiver.headers = {"Set-Cookie": "session=secret; Max-Age=99999; Path=/"}
        patient = settings.model_copy(update={"webhook_timeout_s": 60.0})
        assert [attempt.status for attempt in post(patient, receiver.url, receiver.url)] == [204, 204]
    assert [message.headers.get("cookie") for message in receiver.received] == [None, None]
