"""GET /v1/usage: bytes, counts, seconds and limits of one tenant."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.jobs.tables import Job, JobAttempt
from service.tenants.service import limit_tenant
from service.tenants.tables import Tenant
from tests.fixtures.client import Account, Api
from tests.fixtures.problems import problem

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TRAIN = {"kind": "train", "architecture": "small_cnn", "dataset": "digits"}


def usage(account: Account, **period: str) -> dict[str, Any]:
    answer = account.http.get("/v1/usage", params=period)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def attempt(api: Api, account: Account, start: datetime, end: datetime | None) -> None:
    """One more attempt at the tenant's only training."""
    with api.database.write(account.tenant_id) as session:
        job = session.query(Job).filter_by(kind="train").one()
        job.attempt += 1
        row = JobAttempt(job_id=job.id, attempt=job.attempt, lease_token=job.attempt, worker_id="w")
        row.tenant_id, row.started_at, row.finished_at = account.tenant_id, start, end
        session.add(row)


class TestStored:
    def test_bytes_are_those_of_the_files_by_role(self, account: Account, stranger: Account) -> None:
        model_id = account.registry.train()
        account.registry.extract(model_id, {"cat": 0.9, "dog": 0.8})
        stranger.registry.train()
        upload = {"filename": "f", "size": 5000, "sha256": "0" * 64, "part_size": 1 << 20}
        assert account.http.post("/v1/uploads", json=upload).status_code == 201
        files = account.http.get(f"/v1/models/{model_id}").json()["artifacts"]
        for module in account.http.get("/v1/modules").json()["data"]:
            files += module["artifacts"]
        files.append({"role": "upload", "size": 5000})
        stored = usage(account)["stored"]
        assert stored["by_role"] == [
            {
                "role": role,
                "files": sum(file["role"] == role for file in files),
                "bytes": sum(file["size"] for file in files if file["role"] == role),
            }
            for role in ("program", "recipe", "statistics", "upload", "weights")
        ]
        assert (stored["files"], stored["bytes"]) == (len(files), sum(file["size"] for file in files))
        account.http.delete(f"/v1/modules/{account.http.get('/v1/modules').json()['data'][0]['id']}")
        assert usage(account)["stored"]["files"] == len(files) - 3

    def test_a_tenant_with_nothing(self, account: Account) -> None:
        told = usage(account)
        assert told["stored"] == {"bytes": 0, "files": 0, "by_role": []}
        assert told["counts"] == {"models": 0, "modules": 0, "compositions": 0, "datasets": 0, "jobs": {}}
        assert (told["compute"]["seconds"], told["compute"]["by_kind"]) == (0, [])


def test_counts_are_of_what_there_is(account: Account, stranger: Account) -> None:
    account.registry.extract(account.registry.train(), {"cat": 0.9, "dog": 0.8})
    account.registry.compose({"classes": ["cat"]})
    account.http.post("/v1/jobs", json=TRAIN)
    gone, _ = (account.http.post("/v1/datasets", json={"name": n}).json()["id"] for n in ("a", "b"))
    account.http.delete(f"/v1/datasets/{gone}")
    stranger.registry.train()
    jobs = {"queued": 1, "succeeded": 3}
    nouns = {"models": 1, "modules": 2, "compositions": 1, "datasets": 1}
    assert usage(account)["counts"] == nouns | {"jobs": jobs}


class TestCompute:
    @pytest.fixture(autouse=True)
    def _attempts(self, api: Api, account: Account, stranger: Account) -> None:
        for one in (account, stranger):
            assert one.http.post("/v1/jobs", json=TRAIN).status_code == 202
        attempt(api, account, NOON, NOON + timedelta(seconds=90))
        attempt(api, account, NOON + timedelta(seconds=100), NOON + timedelta(seconds=110))
        attempt(api, stranger, NOON, NOON + timedelta(seconds=7))

    @pytest.mark.parametrize(
        ("start", "end", "attempts", "seconds"),
        [
            (-10, 200, 2, 100.0),
            (60, 200, 2, 40.0),
            (-10, 30, 1, 30.0),
            (60, 105, 2, 35.0),
            (90, 100, 0, 0.0),
        ],
    )
    def test_an_attempt_counts_with_what_lies_in_the_period(
        self, account: Account, start: int, end: int, attempts: int, seconds: float
    ) -> None:
        begin, until = ((NOON + timedelta(seconds=s)).isoformat() for s in (start, end))
        told = usage(account, **{"from": begin, "to": until})["compute"]
        by_kind = [{"kind": "train", "attempts": attempts, "seconds": seconds}] if attempts else []
        assert (told["by_kind"], told["seconds"]) == (by_kind, seconds)
        assert datetime.fromisoformat(told["from"]) == datetime.fromisoformat(begin)

    def test_a_clock_set_back_takes_nothing_away(self, api: Api, account: Account) -> None:
        attempt(api, account, NOON + timedelta(seconds=120), NOON + timedelta(seconds=60))
        period = {"from": NOON.isoformat(), "to": (NOON + timedelta(seconds=200)).isoformat()}
        told = usage(account, **period)["compute"]
        assert told["by_kind"] == [{"kind": "train", "attempts": 3, "seconds": 100.0}]

    def test_one_that_runs_counts_up_to_now_in_the_last_30_days(self, api: Api, account: Account) -> None:
        now = datetime.now(UTC)
        attempt(api, account, now - timedelta(seconds=50), None)
        told = usage(account)["compute"]
        assert told["by_kind"] == [{"kind": "train", "attempts": 1, "seconds": told["seconds"]}]
        assert 49 < told["seconds"] < 60
        period = datetime.fromisoformat(told["to"]) - datetime.fromisoformat(told["from"])
        assert period == timedelta(days=30)

    @pytest.mark.parametrize(
        ("start", "end"),
        [
            ("2026-03-01T12:00:00Z", "2026-03-01T11:59:59Z"),
            ("0001-01-01T00:00:00+14:00", "2026-03-01T12:00:00Z"),
            ("2026-03-01T12:00:00Z", "9999-12-31T23:59:59-14:00"),
        ],
    )
    def test_a_period_that_cannot_be(self, account: Account, start: str, end: str) -> None:
        period = {"from": start, "to": end}
        refused = problem(account.http.get("/v1/usage", params=period))
        assert (refused["status"], refused["code"]) == (422, "invalid_request")
        assert refused["errors"][0]["pointer"] == "/from"


def test_limits_are_the_tenant_s_own_and_tell_what_is_left(api: Api, account: Account) -> None:
    account.http.post("/v1/jobs", json=TRAIN)
    none = {"limit": None, "left": None}
    assert usage(account)["quotas"]["waiting_jobs"] == {"used": 1, **none}
    with api.database.write() as session:
        name = session.get_one(Tenant, account.tenant_id).name
        limit_tenant(session, name, {"max_queued": 3, "max_running": 0, "max_stored_mib": 2})
    quotas = usage(account)["quotas"]
    assert quotas["waiting_jobs"] == {"used": 1, "limit": 3, "left": 2}
    assert quotas["stored_bytes"] == {"used": 0, "limit": 2 << 20, "left": 2 << 20}
    assert quotas["running_jobs"] == {"used": 0, "limit": 0, "left": 0}
