"""Following a job: the stream cut again and again, trimmed history, tickets, log lines."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from core.reports import LogReport
from service.jobs.endings import Failed, settle
from service.jobs.recording import Notes, record
from service.jobs.retention import forget_stories
from service.jobs.tables import StreamTicket
from service.platform.database import Database
from service.platform.settings import Settings
from tests.fixtures.client import Account, Api
from tests.fixtures.jobs import claimed
from tests.fixtures.problems import problem
from tests.service.client.live import CuttingProxy

TRAIN = {"kind": "train", "architecture": "small_cnn", "dataset": "digits", "epochs": 2}


@pytest.fixture
def database(api: Api) -> Database:
    """The API's own."""
    return api.database


@pytest.fixture
def settings(api: Api) -> Settings:
    """The API's own."""
    return api.settings


def submit(account: Account) -> str:
    return str(account.http.post("/v1/jobs", json=TRAIN).json()["id"])


def ended(account: Account) -> str:
    """A job that was cancelled: events 1 to 3."""
    job_id = submit(account)
    account.http.post(f"/v1/jobs/{job_id}/cancel")
    return job_id


def received(client: httpx.Client, path: str, **headers: str) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """(id, event, data) of what arrives of a stream before it breaks."""
    fields: dict[str, str] = {}
    try:
        with client.stream("GET", path, headers=headers) as answer:
            if answer.status_code == 204:
                return
            assert answer.status_code == 200
            for line in answer.iter_lines():
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif "data" in fields:
                    yield int(fields["id"]), fields["event"], json.loads(fields["data"])
                    fields = {}
    except httpx.RemoteProtocolError:
        return


def test_cut_ten_times_each_event_is_seen_once(
    account: Account, api: Api, database: Database, settings: Settings
) -> None:
    job_id = submit(account)
    claim = claimed(database, job_id)

    def tell() -> None:
        for number in range(40):
            with database.write() as session:
                record(session, claim.lease, 1, Notes(logs=[LogReport(message=f"line {number}")]))
        with database.write() as session:
            settle(session, claim.lease, Failed("training_diverged", "NaN", "user"), settings)

    telling = threading.Thread(target=tell)
    telling.start()
    seen: list[tuple[int, str]] = []
    with CuttingProxy(api.url, per_connection=1200) as proxy:
        headers = {"Authorization": f"Bearer {account.key}"}
        with httpx.Client(base_url=proxy.url, headers=headers, timeout=20) as client:
            while not seen or seen[-1][1] != "job.done":
                assert proxy.connections < 100
                position = {"Last-Event-ID": str(seen[-1][0])} if seen else {}
                path = f"/v1/jobs/{job_id}/events/stream"
                seen += [event[:2] for event in received(client, path, **position)]
            assert proxy.connections > 10
    telling.join()
    assert [seq for seq, _ in seen] == list(range(1, len(seen) + 1))
    assert len(seen) > 40


def test_what_is_not_kept_any_more_is_one_gap(account: Account, database: Database) -> None:
    job_id = ended(account)
    forget_stories(database, -60_000)
    path = f"/v1/jobs/{job_id}/events/stream"
    gap, done = received(account.http, path)
    assert gap[:2] == (2, "stream.gap")
    assert gap[2]["data"] == {"missing_from": 1, "missing_to": 2}
    assert (gap[2]["seq"], gap[2]["job_id"]) == (2, job_id)
    assert done[:2] == (3, "job.done")
    assert [event[0] for event in received(account.http, path, **{"Last-Event-ID": "2"})] == [3]
    assert account.http.get(path, headers={"Last-Event-ID": "3"}).status_code == 204


class TestTicket:
    def test_it_opens_one_stream_once_without_a_key(self, account: Account, api: Api) -> None:
        job_id = ended(account)
        issued = account.http.post(f"/v1/jobs/{job_id}/events/ticket")
        assert issued.status_code == 201
        url = issued.json()["url"]
        with api.client() as browser:
            assert [event[1] for event in received(browser, url)] == ["job.state", "job.state", "job.done"]
            assert problem(browser.get(url))["code"] == "unauthorized"

    def test_it_goes_on_where_the_last_one_broke(self, account: Account, api: Api) -> None:
        job_id = ended(account)
        url = account.http.post(f"/v1/jobs/{job_id}/events/ticket").json()["url"]
        with api.client() as browser:
            assert [event[0] for event in received(browser, f"{url}&after=2")] == [3]

    def test_an_old_or_invented_one_opens_nothing(
        self, account: Account, api: Api, database: Database
    ) -> None:
        job_id = ended(account)
        url = account.http.post(f"/v1/jobs/{job_id}/events/ticket").json()["url"]
        with database.write(account.tenant_id) as session:
            session.query(StreamTicket).one().expires_at = datetime.now(UTC) - timedelta(seconds=1)
        with api.client() as browser:
            for wrong in (url, "/v1/events/stream?ticket=x"):
                assert problem(browser.get(wrong))["code"] == "unauthorized"
        account.http.post(f"/v1/jobs/{job_id}/events/ticket")
        with database.read(account.tenant_id) as session:
            assert session.query(StreamTicket).count() == 1

    def test_the_database_does_not_have_it(self, account: Account, database: Database) -> None:
        job_id = ended(account)
        ticket = account.http.post(f"/v1/jobs/{job_id}/events/ticket").json()["ticket"]
        with database.read(account.tenant_id) as session:
            (row,) = session.query(StreamTicket).all()
        assert ticket not in (row.digest, row.job_id)


class TestLogs:
    def test_lines_come_by_level_and_page(self, account: Account, database: Database) -> None:
        job_id = submit(account)
        claim = claimed(database, job_id)
        lines = [LogReport(message=f"line {n}", level="warning" if n % 2 else "info") for n in range(4)]
        with database.write() as session:
            record(session, claim.lease, 1, Notes(logs=lines, progress={"phase": "train"}))

        def read(query: str = "") -> dict[str, Any]:
            answer: dict[str, Any] = account.http.get(f"/v1/jobs/{job_id}/logs{query}").json()
            return answer

        found = read()["data"]
        assert [line["message"] for line in found] == ["line 0", "line 1", "line 2", "line 3"]
        assert [line["level"] for line in found] == ["info", "warning"] * 2
        assert [line["message"] for line in read("?level=warning")["data"]] == ["line 1", "line 3"]
        first = read("?limit=3")
        assert (len(first["data"]), first["has_more"]) == (3, True)
        rest = read(f"?limit=3&after={first['next_cursor']}")
        assert ([line["message"] for line in rest["data"]], rest["has_more"]) == (["line 3"], False)

    @pytest.mark.parametrize("query", ["level=debug", "limit=0", "after=-1", "afer=1"])
    def test_what_is_not_valid(self, account: Account, query: str) -> None:
        assert account.http.get(f"/v1/jobs/{submit(account)}/logs?{query}").status_code == 422


@pytest.mark.parametrize("number", ["2147483648", "9" * 30, "-1", "²"])
def test_a_position_no_event_can_have(account: Account, number: str) -> None:
    job_id = submit(account)
    headers = [(b"Last-Event-ID", number.encode("latin-1"))]
    answers = [
        account.http.get(f"/v1/jobs/{job_id}/events", params={"after": number}),
        account.http.get(f"/v1/jobs/{job_id}/events/stream", params={"after": number}),
        account.http.get(f"/v1/jobs/{job_id}/events/stream", headers=headers),
    ]
    assert [answer.status_code for answer in answers] == [422] * 3
