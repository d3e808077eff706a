"""How many event streams a key may have open: counted when they open, and when they end in whatever way."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest

from service.platform.streams import Streams
from tests.fixtures.client import Account, Api
from tests.fixtures.problems import problem
from tests.fixtures.waiting import eventually

TRAIN = {"kind": "train", "architecture": "small_cnn", "dataset": "digits"}


@pytest.fixture(autouse=True)
def _two(api: Api) -> Iterator[None]:
    before, api.app.state.streams = api.app.state.streams, Streams(2)
    yield
    api.app.state.streams = before


def refused(answer: httpx.Response) -> bool:
    if answer.status_code == 200:
        return False
    told = problem(answer)
    assert (told["status"], told["code"], told["retryable"]) == (429, "too_many_streams", True)
    assert answer.headers["Retry-After"] == "5"
    return True


def opens(client: httpx.Client, url: str) -> bool:
    with client.stream("GET", url) as answer:
        return answer.status_code == 200


def test_no_more_than_may_and_again_once_one_has_ended(api: Api, account: Account, stranger: Account) -> None:
    path = f"/v1/jobs/{account.http.post('/v1/jobs', json=TRAIN).json()['id']}/events"
    held = {"after": 1, "wait": 0.05}
    with ExitStack() as others:
        others.enter_context(account.http.stream("GET", f"{path}/stream"))
        assert not refused(account.http.get(path, params=held))
        with account.http.stream("GET", f"{path}/stream") as second:
            assert second.status_code == 200
            for answer in (account.http.get(path, params=held), account.http.get(f"{path}/stream")):
                assert refused(answer)
            assert account.http.get(path).status_code == 200, "what is answered at once does not count"
            strangers = f"/v1/jobs/{stranger.http.post('/v1/jobs', json=TRAIN).json()['id']}/events/stream"
            with stranger.http.stream("GET", strangers) as theirs:
                assert theirs.status_code == 200
        eventually(lambda: not refused(account.http.get(path, params=held)))
    eventually(lambda: not api.app.state.streams._open)


def test_who_prefers_to_wait_counts_too(api: Api, account: Account) -> None:
    job = f"/v1/jobs/{account.http.post('/v1/jobs', json=TRAIN).json()['id']}"
    wait, key = {"Prefer": "wait=1"}, {"Idempotency-Key": "once"}
    with ExitStack() as others:
        others.enter_context(account.http.stream("GET", f"{job}/events/stream"))
        with account.http.stream("GET", f"{job}/events/stream"):
            assert refused(account.http.get(job, headers=wait))
            assert refused(account.http.post("/v1/jobs", json=TRAIN, headers=wait | key))
            assert account.http.get(job).status_code == 200, "what is answered at once does not count"
            assert len(account.http.get("/v1/jobs").json()["data"]) == 1, "the refused one made none"
        eventually(lambda: not refused(account.http.get(job, headers=wait)))
        assert account.http.post("/v1/jobs", json=TRAIN, headers=wait | key).status_code == 202
    others.close()
    with ThreadPoolExecutor(2) as pool:
        held = [pool.submit(account.http.get, job, headers={"Prefer": "wait=60"}) for _ in range(2)]
        eventually(lambda: sum(api.app.state.streams._open.values()) == 2)
        assert refused(account.http.get(f"{job}/events/stream"))
        account.http.post(f"{job}/cancel")
        assert [one.result().status_code for one in held] == [200, 200]
    eventually(lambda: not api.app.state.streams._open)


def test_streams_by_ticket_count_for_the_tenant_and_a_refused_ticket_stays_good(
    account: Account, api: Api
) -> None:
    job = f"/v1/jobs/{account.http.post('/v1/jobs', json=TRAIN).json()['id']}"
    urls = [account.http.post(f"{job}/events/ticket").json()["url"] for _ in range(3)]
    with api.client() as keyless, ExitStack() as opened:
        for url in urls[:2]:
            assert opened.enter_context(keyless.stream("GET", url)).status_code == 200
        assert refused(keyless.get(urls[2]))
        opened.close()
        eventually(lambda: opens(keyless, urls[2]))
