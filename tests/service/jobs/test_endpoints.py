"""/v1/jobs over a real server."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from core.reports import CheckpointReport, LogReport
from core.results import MetricValue
from service.jobs.endings import Failed, settle
from service.jobs.leases import Claim
from service.jobs.recording import Notes, record
from service.platform.database import Database
from service.platform.settings import Settings
from tests.fixtures.client import Account, Api
from tests.fixtures.jobs import claimed

TRAIN: dict[str, Any] = {
    "kind": "train",
    "architecture": "small_cnn",
    "dataset": "digits",
    "approach": {"name": "nemo"},
    "epochs": 2,
    "metadata": {"team": "vision"},
}


@pytest.fixture
def database(api: Api) -> Database:
    """The API's own."""
    return api.database


@pytest.fixture
def settings(api: Api) -> Settings:
    """The API's own."""
    return api.settings


def submit(account: Account, **values: Any) -> str:
    answer = account.http.post("/v1/jobs", json={**TRAIN, **values})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def end(database: Database, claim: Claim, settings: Settings) -> None:
    with database.write() as session:
        settle(session, claim.lease, Failed("training_diverged", "The loss became NaN.", "user"), settings)


def stream(account: Account, job_id: str, **headers: str) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """(id, event, data) of each server-sent event."""
    path = f"/v1/jobs/{job_id}/events/stream"
    with account.http.stream("GET", path, headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        fields: dict[str, str] = {}
        for line in answer.iter_lines():
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "data" in fields:
                yield int(fields["id"]), fields["event"], json.loads(fields["data"])
                fields = {}


class TestCreate:
    def test_accepts_a_job_and_says_where_it_is(self, account: Account) -> None:
        answer = account.http.post("/v1/jobs", json=TRAIN)
        job = answer.json()
        assert answer.status_code == 202
        assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
        assert int(answer.headers["retry-after"]) > 0
        assert (job["kind"], job["state"], job["attempt"]) == ("train", "queued", 0)
        assert job["metadata"] == {"team": "vision"}
        assert job["spec"]["epochs"] == 2
        assert job["error"] is None
        assert job["result"] is None
        assert account.http.get(answer.headers["location"]).json()["id"] == job["id"]

    @pytest.mark.parametrize(
        "wrong",
        [
            {"epochs": -1},
            {"architecture": "resnet9000"},
            {"kind": "dance"},
            {"surprise": 1},
            {"dataset": "cifar10"},
        ],
    )
    def test_refuses_what_is_not_valid(self, account: Account, wrong: dict[str, Any]) -> None:
        answer = account.http.post("/v1/jobs", json={**TRAIN, **wrong})
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"]
        assert account.http.get("/v1/jobs").json()["data"] == []

    def test_a_key_makes_one_job_however_often_it_is_sent(self, account: Account) -> None:
        def post(_: int) -> httpx.Response:
            return account.http.post("/v1/jobs", json=TRAIN, headers={"Idempotency-Key": "k-1"})

        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(post, range(50)))
        assert {answer.status_code for answer in answers} == {202}
        assert all(answer.json() == answers[0].json() for answer in answers)
        assert sum("idempotency-replayed" in answer.headers for answer in answers) == 49
        assert len(account.http.get("/v1/jobs").json()["data"]) == 1
        other = account.http.post("/v1/jobs", json={**TRAIN, "epochs": 9}, headers={"Idempotency-Key": "k-1"})
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")

    def test_keys_of_two_tenants_do_not_meet(self, account: Account, stranger: Account) -> None:
        headers = {"Idempotency-Key": "k-1"}
        ids = {a.http.post("/v1/jobs", json=TRAIN, headers=headers).json()["id"] for a in (account, stranger)}
        assert len(ids) == 2

    def test_waits_when_asked_to(self, account: Account, database: Database, settings: Settings) -> None:
        job_id = submit(account)
        claim = claimed(database, job_id)
        ending = threading.Timer(0.3, end, (database, claim, settings))
        ending.start()
        answer = account.http.get(f"/v1/jobs/{job_id}", headers={"Prefer": "wait=20"})
        ending.join()
        assert answer.json()["state"] == "failed"
        short = account.http.post("/v1/jobs", json=TRAIN, headers={"Prefer": "wait=1"})
        assert (short.status_code, short.json()["state"]) == (202, "queued")
        assert short.headers["preference-applied"] == "wait=1"


class TestRead:
    def test_a_job_tells_its_story(self, account: Account, database: Database, settings: Settings) -> None:
        job_id = submit(account)
        claim = claimed(database, job_id)
        notes = Notes(
            progress={"phase": "train", "step": 5, "total": 10, "percent": 50.0, "eta_seconds": 2.5},
            metrics=[
                MetricValue(name="loss", value=v, split="train", epoch=e) for e, v in ((1, 2.0), (2, 1.0))
            ],
            checkpoints=[CheckpointReport(path="e1", sha256="a" * 64, spec_sha256="b" * 64, epoch=1, step=5)],
            logs=[LogReport(message="hello")],
        )
        with database.write() as session:
            record(session, claim.lease, claim.attempt, notes)
        job = account.http.get(f"/v1/jobs/{job_id}").json()
        assert job["state"] == "running"
        assert job["progress"]["percent"] == 50.0
        assert [a["outcome"] for a in job["attempts"]] == [None]
        end(database, claim, settings)
        job = account.http.get(f"/v1/jobs/{job_id}").json()
        assert job["error"]["code"] == "training_diverged"
        assert job["finished_at"] is not None
        assert [a["outcome"] for a in job["attempts"]] == ["failed"]
        curve = account.http.get(f"/v1/jobs/{job_id}/metrics?name=loss").json()["data"]
        assert [(p["epoch"], p["value"]) for p in curve] == [(1, 2.0), (2, 1.0)]
        points = account.http.get(f"/v1/jobs/{job_id}/checkpoints").json()["data"]
        assert [(p["path"], p["epoch"]) for p in points] == [("e1", 1)]
        assert len(account.http.get(f"/v1/jobs/{job_id}/attempts").json()["data"]) == 1

    def test_curves_come_in_pages_in_the_order_measured(self, account: Account, database: Database) -> None:
        job_id = submit(account)
        claim = claimed(database, job_id)
        with database.write() as session:
            points = [MetricValue(name="loss", value=float(e), split="train", epoch=e) for e in range(7)]
            record(session, claim.lease, 1, Notes(metrics=points))
        found, path = [], f"/v1/jobs/{job_id}/metrics?limit=3"
        page = account.http.get(path).json()
        while True:
            found += [point["epoch"] for point in page["data"]]
            if not page["has_more"]:
                break
            page = account.http.get(f"{path}&after={page['next_cursor']}").json()
        assert found == list(range(7))

    def test_the_list_filters_and_pages(self, account: Account, database: Database) -> None:
        ids = [submit(account) for _ in range(3)]
        claimed(database, ids[0])
        listed = account.http.get("/v1/jobs?limit=2").json()
        assert [job["id"] for job in listed["data"]] == [ids[2], ids[1]]
        rest = account.http.get(f"/v1/jobs?limit=2&after={listed['next_cursor']}").json()
        assert [job["id"] for job in rest["data"]] == [ids[0]]
        assert rest["has_more"] is False
        running = account.http.get("/v1/jobs?state=running&kind=train").json()["data"]
        assert [job["id"] for job in running] == [ids[0]]
        assert account.http.get("/v1/jobs?kind=extract").json()["data"] == []
        assert account.http.get("/v1/jobs?state=resting").status_code == 422

    def test_an_unchanged_job_is_not_sent_again(self, account: Account, database: Database) -> None:
        job_id = submit(account)
        first = account.http.get(f"/v1/jobs/{job_id}")
        headers = {"If-None-Match": first.headers["etag"]}
        assert account.http.get(f"/v1/jobs/{job_id}", headers=headers).status_code == 304
        claimed(database, job_id)
        assert account.http.get(f"/v1/jobs/{job_id}", headers=headers).status_code == 200

    def test_another_tenants_job_is_not_there(self, account: Account, stranger: Account) -> None:
        job_id = submit(account)
        for part in ("", "/events", "/events/stream", "/metrics", "/attempts", "/checkpoints"):
            answer = stranger.http.get(f"/v1/jobs/{job_id}{part}")
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), part
        for verb in ("cancel", "pause", "resume", "retry"):
            assert stranger.http.post(f"/v1/jobs/{job_id}/{verb}").status_code == 404
        assert stranger.http.get("/v1/jobs").json()["data"] == []


class TestEvents:
    def test_the_stream_ends_with_the_job_and_resumes_where_it_was_cut(
        self, account: Account, database: Database, settings: Settings
    ) -> None:
        job_id = submit(account)
        seen = []
        for seq, name, data in stream(account, job_id):
            assert (data["seq"], data["type"], data["job_id"]) == (seq, name, job_id)
            seen.append(seq)
            if len(seen) == 1:
                break
        claim = claimed(database, job_id)
        ending = threading.Timer(0.5, end, (database, claim, settings))
        ending.start()
        names = []
        for seq, name, _ in stream(account, job_id, **{"Last-Event-ID": str(seen[-1])}):
            seen.append(seq)
            names.append(name)
        ending.join()
        assert seen == list(range(1, len(seen) + 1))
        assert names[-1] == "job.done"
        again = account.http.get(f"/v1/jobs/{job_id}/events/stream", headers={"Last-Event-ID": str(seen[-1])})
        assert again.status_code == 204

    def test_polling_reads_the_same_rows(self, account: Account, database: Database) -> None:
        job_id = submit(account)
        first = account.http.get(f"/v1/jobs/{job_id}/events").json()["data"]
        assert [(e["seq"], e["type"]) for e in first] == [(1, "job.state")]
        assert account.http.get(f"/v1/jobs/{job_id}/events?after=1&wait=0.1").json()["data"] == []
        claiming = threading.Timer(0.3, claimed, (database, job_id))
        claiming.start()
        held = account.http.get(f"/v1/jobs/{job_id}/events?after=1&wait=20").json()["data"]
        claiming.join()
        assert [e["seq"] for e in held] == [2, 3]
        page = account.http.get(f"/v1/jobs/{job_id}/events?limit=2").json()
        assert (len(page["data"]), page["has_more"], page["next_cursor"]) == (2, True, "2")
