"""The audit log: what is written, who sees it, and that it stays as it is."""

from contextlib import AbstractContextManager
from typing import Any

import pytest
from sqlalchemy import delete, select, text, update
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from service.audit import repository
from service.audit.tables import AuditEvent
from service.audit.trail import record
from service.platform.auth import parse_key
from service.platform.database import Database
from tests.fixtures.client import Account, Api
from tests.fixtures.problems import problem

TRAIN = {"kind": "train", "architecture": "small_cnn", "dataset": "digits"}
DAY_MS = 86_400_000


def logged(account: Account, **filters: Any) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = account.http.get("/v1/audit_events", params=filters).json()["data"]
    return events


class TestWritten:
    def test_a_change_is_there_once_its_answer_is(self, account: Account) -> None:
        answer = account.http.post("/v1/jobs", json=TRAIN)
        job_id = answer.json()["id"]
        (event,) = logged(account)
        assert event["key_id"] == parse_key(account.key).key_id  # type: ignore[union-attr]  # it is a key
        assert (event["operation"], event["resource"], event["status"]) == ("jobs_create", job_id, 202)
        assert event["request_id"] == answer.headers["X-Request-ID"]
        assert event["address"] == "127.0.0.1"
        account.http.post(f"/v1/jobs/{job_id}/cancel")
        assert [e["operation"] for e in logged(account)] == ["jobs_cancel", "jobs_create"]
        assert [e["operation"] for e in logged(account, resource=job_id, operation="jobs_cancel")] == [
            "jobs_cancel"
        ]

    def test_looking_is_not_written_and_refusals_are(self, api: Api, account: Account) -> None:
        account.http.get("/v1/jobs")
        account.http.post("/v1/jobs/job_0/cancel")
        reader = account.http.post("/v1/api_keys", json={"name": "r", "scope": "read"}).json()
        with api.client(reader["api_key"]) as http:
            http.post("/v1/jobs", json=TRAIN)
        found = [(e["operation"], e["resource"], e["status"]) for e in logged(account)]
        assert found == [
            ("jobs_create", None, 403),
            ("api_keys_create", reader["id"], 201),
            ("jobs_cancel", "job_0", 404),
        ]

    def test_no_secret_is_in_it(self, api: Api, account: Account) -> None:
        made = account.http.post("/v1/api_keys", json={"name": "a"}).json()
        account.http.post(f"/v1/api_keys/{made['id']}/rotate", json={})
        with api.database.read() as session:
            rows = session.execute(text("SELECT * FROM audit_events")).all()
        for secret in (made["api_key"].split("_")[2], account.key.split("_")[2]):
            assert not any(secret in str(value) for row in rows for value in row)

    @pytest.mark.parametrize(
        "error", [PoolTimeoutError("QueuePool limit"), DBAPIError(None, None, ValueError())]
    )
    def test_where_it_cannot_be_the_change_is_answered_all_the_same(
        self,
        api: Api,
        account: Account,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        error: SQLAlchemyError,
    ) -> None:
        database: Database = api.app.state.database
        write = database.write

        def crowded(tenant_id: str | None = None) -> AbstractContextManager[Session]:
            if tenant_id is None:  # the log's
                raise error
            return write(tenant_id)

        with monkeypatch.context() as patch:
            patch.setattr(database, "write", crowded)
            assert account.http.post("/v1/datasets", json={"name": "mine"}).status_code == 201
        assert "audit_not_written" in caplog.text
        assert logged(account) == []


class TestSeen:
    def test_only_by_ones_own_admin(self, api: Api, account: Account, stranger: Account) -> None:
        writer = account.http.post("/v1/api_keys", json={"name": "w"}).json()
        assert logged(stranger) == []
        with api.client(writer["api_key"]) as http:
            assert problem(http.get("/v1/audit_events"))["code"] == "forbidden_scope"

    def test_page_by_page(self, account: Account) -> None:
        for _ in range(3):
            account.http.post("/v1/jobs/job_0/cancel")
        first = account.http.get("/v1/audit_events?limit=2").json()
        rest = account.http.get(f"/v1/audit_events?limit=2&after={first['next_cursor']}").json()
        assert len({e["id"] for e in first["data"] + rest["data"]}) == 3


class TestStays:
    def test_the_database_refuses_changes(self, api: Api, account: Account) -> None:
        account.http.post("/v1/jobs/job_0/cancel")
        mine = AuditEvent.tenant_id == account.tenant_id
        for statement in (update(AuditEvent).where(mine).values(status=200), delete(AuditEvent).where(mine)):
            with pytest.raises(DBAPIError, match="stay as they are"), api.database.write() as session:
                session.execute(statement)
        assert [e["status"] for e in logged(account)] == [404]

    def test_what_is_old_goes(self, api: Api, account: Account) -> None:
        with api.database.write(account.tenant_id) as session:
            for age in (DAY_MS // 2, 3 * DAY_MS):
                record(session, account.tenant_id, "test", str(age))
                session.flush()
            now = session.scalars(select(AuditEvent.created_at)).all()
            assert len(now) == 2
        with api.database.write() as session:
            old = AuditEvent(id=f"aud_old{account.tenant_id}", tenant_id=account.tenant_id, status=200)
            old.operation, old.created_at = "old", 1_000_000_000_000  # type: ignore[assignment]  # milliseconds
            session.add(old)
        repository.forget(api.database, 2 * DAY_MS)
        assert [e["operation"] for e in logged(account)] == ["test", "test"]
