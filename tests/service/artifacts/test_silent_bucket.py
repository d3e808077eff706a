"""A bucket that takes every request and answers none: whoever needs none of its files does not notice."""

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.fixtures.client import Account, open_api
from tests.fixtures.database import migrated, settings_for
from tests.fixtures.faulty import Answer, faulty
from tests.fixtures.problems import problem
from tests.fixtures.s3 import S3Server
from tests.fixtures.uploads import announce
from tests.fixtures.waiting import eventually

CONTENT = b"x" * 1024
# As many as anyio gives to all endpoints together, and to those that ask the store; and some more.
THREADS, CALLERS = 40, 60


class Silence:
    """What a bucket is asked waits until it is over."""

    def __init__(self) -> None:
        self.over, self.waiting = threading.Event(), list[str]()

    def keep(self, method: str, pass_on: Callable[[], Answer]) -> Answer:
        self.waiting.append(method)
        self.over.wait(120)
        return pass_on()


def download(account: Account) -> Callable[[httpx.Client], httpx.Response]:
    url = account.http.get(f"/v1/models/{account.registry.train()}").json()["artifacts"][0]["url"]
    return lambda http: http.get(url)


def bundle(account: Account) -> Callable[[httpx.Client], httpx.Response]:
    url = f"/v1/models/{account.registry.train()}/bundle"
    return lambda http: http.get(url)


def part(account: Account) -> Callable[[httpx.Client], httpx.Response]:
    url = f"/v1/uploads/{announce(account.http, None, CONTENT, 1024)['id']}/parts/1"
    return lambda http: http.put(url, content=CONTENT)


def test_whether_it_is_ready_is_told_meanwhile_and_one_thread_waits(s3: S3Server, tmp_path: Path) -> None:
    silence = Silence()
    with faulty(s3.endpoint) as bucket:
        settings = settings_for(tmp_path, **{**s3.bucket(uuid.uuid4().hex), "s3_endpoint_url": bucket.url})
        with migrated(settings) as database, open_api(settings, database) as api, api.client() as http:
            assert http.get("/readyz").status_code == 200
            bucket.fault, http.timeout = silence.keep, httpx.Timeout(120)
            try:
                with ThreadPoolExecutor(8) as pool:
                    answers = list(pool.map(lambda _: http.get("/readyz"), range(8)))
                assert not silence.over.is_set()
                for answer in answers:
                    assert problem(answer)["checks"]["artifact_store"] == "does not answer"
                assert len(silence.waiting) <= 4, "tries of one request"
            finally:
                silence.over.set()
            eventually(lambda: http.get("/readyz").status_code == 200, 60)


@pytest.mark.parametrize("prepare", [download, bundle, part])
def test_the_rest_of_the_api_goes_on(
    s3: S3Server, tmp_path: Path, prepare: Callable[[Account], Callable[[httpx.Client], httpx.Response]]
) -> None:
    silence = Silence()
    with faulty(s3.endpoint) as bucket:
        settings = settings_for(tmp_path, **{**s3.bucket(uuid.uuid4().hex), "s3_endpoint_url": bucket.url})
        with (
            migrated(settings) as database,
            open_api(settings, database) as api,
            api.account("mine") as account,
            api.client(account.key) as http,
            ThreadPoolExecutor(CALLERS) as pool,
        ):
            ask = prepare(account)
            http.timeout = httpx.Timeout(120)
            bucket.fault = silence.keep
            try:
                asking = [pool.submit(ask, http) for _ in range(CALLERS)]
                eventually(lambda: len(silence.waiting) >= THREADS, 20)
                for path in ("/livez", "/v1/models", "/v1/jobs"):
                    assert account.http.get(path, timeout=15).status_code == 200
                assert not any(one.done() for one in asking)
            finally:
                silence.over.set()
            assert {one.result().status_code for one in asking} <= {200, 204, 503}
