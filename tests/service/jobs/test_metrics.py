"""/metrics: what the tables hold, in Prometheus's format, for callers with a key."""

import pytest
from sqlalchemy import delete, update

from service.dispatcher import Dispatcher
from service.jobs import leases, metrics_endpoint, outbox
from service.jobs.gauges import Figure
from service.jobs.tables import OutboxMessage, Worker
from service.platform.database import Database
from tests.fixtures.client import Account, Api
from tests.fixtures.jobs import claimed
from tests.service.jobs.test_dispatcher import Recorder, add_worker
from tests.service.jobs.test_endpoints import submit


@pytest.fixture(autouse=True)
def _always_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_endpoint, "_FRESH_S", 0.0)


def read(account: Account) -> dict[str, float]:
    answer = account.http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_figures_follow_the_tables(api: Api, account: Account) -> None:
    database: Database = api.database
    queued = 'cleave_jobs{state="queued",kind="train"}'
    before = read(account)
    waiting, running = submit(account), submit(account)
    add_worker(database, number=1)
    claimed(database, running, owner="wrk_train1")
    with database.write() as session:
        for _ in range(4):
            sent = session.get_one(OutboxMessage, waiting, populate_existing=True)
            outbox.mark_published(session, sent, publish_timeout_s=30)
    Dispatcher(database, Recorder(), api.settings).show()
    during = read(account)
    assert during[queued] == before.get(queued, 0) + 1
    assert during['cleave_workers{queue="train",state="busy"}'] == 1
    assert during['cleave_hint_publications{queue="train"}'] == 4
    assert during['cleave_oldest_queued_seconds{queue="train"}'] >= 0
    assert during["cleave_dispatcher_turns_total"] == before.get("cleave_dispatcher_turns_total", 0) + 1
    assert 0 <= during["cleave_dispatcher_heartbeat_age_seconds"] < 60
    with database.write() as session:
        session.execute(update(Worker).values(draining=True))
    draining = read(account)  # as GET /v1/workers says it
    assert draining['cleave_workers{queue="train",state="draining"}'] == 1
    assert 'cleave_workers{queue="train",state="busy"}' not in draining
    with database.write() as session:
        leases.expire_all(session)
    Dispatcher(database, Recorder(), api.settings).reap()
    after = read(account)
    assert after["cleave_lease_expiries_total"] > during["cleave_lease_expiries_total"]
    assert after['cleave_attempts_total{outcome="lost",cause="infra"}'] >= 1
    for job_id in (waiting, running):
        account.http.post(f"/v1/jobs/{job_id}/cancel")
    with database.write() as session:  # it serves other tests too
        session.execute(delete(Worker))


def test_who_asks_during_a_look_gets_the_old_text(api: Api, account: Account) -> None:
    def of_the_database() -> dict[str, float]:
        return {name: value for name, value in read(account).items() if "_http_" not in name}

    before = of_the_database()
    with metrics_endpoint._cache._lock:
        assert of_the_database() == before


def test_large_figures_keep_their_digits() -> None:
    text = metrics_endpoint.render([Figure("attempts_total", "counter", 1234567, {"cause": "infra"})])
    name, value = text.splitlines()[-1].split(" ")
    assert (name, float(value)) == ('cleave_attempts_total{cause="infra"}', 1234567)


class TestRequests:
    """By route, never by path: whatever callers send, there are as many figures as there are routes."""

    def counted(self, account: Account, method: str, route: str, status: int) -> float:
        labels = f'{{method="{method}",route="{route}",status="{status}"}}'
        return read(account).get(f"cleave_http_requests_total{labels}", 0.0)

    def test_each_is_counted_by_its_route_and_status(self, account: Account) -> None:
        route = "/v1/jobs/{job_id}"
        job_id = submit(account)
        before = [self.counted(account, "GET", route, status) for status in (200, 404)]
        account.http.get(f"/v1/jobs/{job_id}")
        account.http.get("/v1/jobs/job_unknown")
        account.http.get("/v1/jobs/job_unknown")
        after = [self.counted(account, "GET", route, status) for status in (200, 404)]
        assert [a - b for a, b in zip(after, before, strict=True)] == [1, 2]

    def test_their_time_is_told(self, account: Account) -> None:
        labels = 'method="GET",route="/v1/jobs"'
        counts = []
        for _ in range(2):
            account.http.get("/v1/jobs")
            counts.append(read(account)[f"cleave_http_request_seconds_count{{{labels}}}"])
        figures = read(account)
        assert counts[1] == counts[0] + 1
        assert 0 < figures[f"cleave_http_request_seconds_sum{{{labels}}}"] < 30
        assert figures[f'cleave_http_request_seconds_bucket{{le="+Inf",{labels}}}'] == counts[1]

    def test_what_a_scanner_sends_makes_no_new_figures(self, api: Api, account: Account) -> None:
        with api.client() as scanner:
            for n in range(3):
                scanner.get(f"/wp-admin/{n}.php")
                scanner.request("PROPFIND", "/v1/jobs")
        text = account.http.get("/metrics").text
        assert 'route="unmatched",status="404"' in text
        assert 'method="other"' in text
        assert "wp-admin" not in text
        assert "PROPFIND" not in text


def test_unknown_parameters_are_refused(account: Account) -> None:
    answer = account.http.get("/metrics?x=1")
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_parameter")


def test_a_key_is_needed(api: Api) -> None:
    with api.client() as nobody:
        assert nobody.get("/metrics").status_code == 401
