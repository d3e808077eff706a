"""Headers of any size are refused, and not gathered in memory until they end."""

import json
import socket
import threading
from collections.abc import Iterator

import httpx
import pytest
import uvicorn

from service.platform import bounded_headers
from service.platform.bodies import MAX_HEADER_BYTES
from service.platform.bounded_headers import BoundedHeaders
from tests.fixtures.client import Account, Api
from tests.fixtures.problems import problem
from tests.fixtures.waiting import eventually


@pytest.fixture
def address(api: Api) -> Iterator[tuple[str, int]]:
    """The API, parsed as `service.server` has it parsed."""
    server = uvicorn.Server(uvicorn.Config(api.app, log_config=None, http=BoundedHeaders, lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        eventually(lambda: server.started)
        yield listener.getsockname()
        server.should_exit = True
        thread.join(10)


def test_large_headers_are_a_problem_and_what_is_smaller_passes(account: Account) -> None:
    for size, status in ((MAX_HEADER_BYTES // 2, 200), (MAX_HEADER_BYTES, 431)):
        assert account.http.get("/v1/jobs", headers={"X-Large": "x" * size}).status_code == status
    told = problem(account.http.get("/v1/jobs", headers={"X-Large": "x" * MAX_HEADER_BYTES}))
    assert told["code"] == "headers_too_large"


def test_headers_without_an_end_are_cut_off(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\nX-Large: ")
        with pytest.raises(OSError, match=r"reset|pipe"):
            connection.sendall(b"x" * (64 << 20))
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\nX-Large: " + b"x" * (65 << 10))
        told = connection.makefile("rb").read()
    assert told.startswith(b"HTTP/1.1 431 ")
    assert b'"code": "headers_too_large"' in told


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /livez HTTP/1.1\r\nHost: a\r\nX-Name: a\x7fb\r\n\r\n",
        b"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        b"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n{}",
        b"\x16\x03\x01\x00\xa5",
    ],
    ids=["header", "two lengths", "length", "tls"],
)
def test_what_is_no_http_is_a_problem_too(address: tuple[str, int], request_: bytes) -> None:
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(request_)
        head, _, body = connection.makefile("rb").read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json")
    assert json.loads(body)["code"] == "malformed_request"


def test_large_bodies_and_requests_one_after_another_are_no_headers(
    address: tuple[str, int], account: Account
) -> None:
    host = f"http://{address[0]}:{address[1]}"
    with httpx.Client(base_url=host, headers=account.http.headers) as client:
        for _ in range(3):
            body = {"kind": "train", "architecture": "x" * 200_000, "dataset": "digits"}
            assert client.post("/v1/jobs", json=body).status_code == 422
            assert client.get("/livez").status_code == 200


def test_trailers_without_an_end_are_cut_off(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(b"POST /livez HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
        with pytest.raises(OSError, match=r"reset|pipe"):
            connection.sendall((b"X-Large: " + b"x" * (1 << 20) + b"\r\n") * 64)


def test_a_body_read_together_with_the_next_headers_is_not_counted_with_them(
    address: tuple[str, int], account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_headers, "_UNFINISHED_BYTES", 1000)
    key = f"Host: a\r\nAuthorization: {account.http.headers['Authorization']}\r\n".encode()
    head = b"Content-Type: application/json\r\nContent-Length: 20000\r\n\r\n"
    first = b"POST /v1/jobs HTTP/1.1\r\n" + key + head + b"x" * 20_000
    with socket.create_connection(address, timeout=10) as connection, connection.makefile("rb") as answers:
        connection.sendall(first + b"GET /livez HTTP/1.1\r\n")
        assert answers.readline().startswith(b"HTTP/1.1 400 ")
        connection.sendall(b"Host: a\r\nConnection: close\r\n\r\n")
        assert b"HTTP/1.1 200 " in answers.read()
