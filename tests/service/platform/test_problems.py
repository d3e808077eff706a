"""Database errors and long lists of mistakes, as callers see them."""

from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from service.migrate import downgrade
from service.platform.database import Database
from service.platform.problems import database_refusal
from service.platform.validation import MAX_ERRORS
from tests.fixtures.client import Account, Api, open_api
from tests.fixtures.database import migrated, postgres_answers, postgres_url, settings_for
from tests.fixtures.problems import problem

TRAIN = {"kind": "train", "architecture": "small_cnn", "dataset": "digits"}


class TestDatabase:
    def test_tables_that_are_not_there_on_sqlite(self, tmp_path: Path) -> None:
        self._unmigrated(tmp_path, None)

    @pytest.mark.services
    @pytest.mark.skipif(not postgres_answers(), reason="PostgreSQL does not answer on 127.0.0.1")
    def test_tables_that_are_not_there_on_postgresql(self, tmp_path: Path) -> None:
        with postgres_url() as url:
            self._unmigrated(tmp_path, url)

    def _unmigrated(self, folder: Path, url: str | None) -> None:
        settings = settings_for(folder, database_url=url)
        with migrated(settings) as database, open_api(settings, database) as api:
            downgrade(settings, "base")
            with api.client("cleave_01a1fc2854be73238175c57d01bfa3d5_" + "0" * 64) as http:
                body = problem(http.get("/v1/models"))
        assert (body["status"], body["code"]) == (503, "database_not_migrated")
        assert "cleave db upgrade" in body["detail"]

    def test_a_file_that_is_no_database(self, tmp_path: Path) -> None:
        settings = settings_for(tmp_path)
        settings.home.mkdir()
        (settings.home / "cleave.db").write_bytes(b"garbage" * 1000)
        with open_api(settings, Database(settings)) as api, api.client("cleave_0_0") as http:
            body = problem(http.get("/v1/models"))
        assert (body["status"], body["code"]) == (503, "unavailable")

    def test_our_own_mistakes_are_not_the_database_s(self, api: Api) -> None:
        with api.database.write() as session, pytest.raises(IntegrityError) as caught:
            session.execute(text("INSERT INTO tenants (id) VALUES (NULL)"))
        assert database_refusal(caught.value) is None


class TestManyMistakes:
    def test_the_list_ends_and_says_so(self, account: Account) -> None:
        answer = account.http.post("/v1/jobs", json={**TRAIN, **{f"field_{i}": 0 for i in range(5000)}})
        body = problem(answer)
        assert (body["status"], len(body["errors"])) == (422, MAX_ERRORS)
        assert "99 more in `errors`" in body["detail"]
        assert "4900 left out" in body["detail"]

    def test_a_full_list_leaves_nothing_out(self, account: Account) -> None:
        body = problem(
            account.http.post("/v1/jobs", json={**TRAIN, **{f"f{i}": 0 for i in range(MAX_ERRORS)}})
        )
        assert len(body["errors"]) == MAX_ERRORS
        assert "left out" not in body["detail"]


def test_a_repeated_parameter_s_mistake_names_the_parameter(account: Account) -> None:
    body = problem(account.http.get("/v1/jobs?state=queued&state=foo"))
    assert [(e["pointer"], e["in"]) for e in body["errors"]] == [("/state/1", "query")]
    assert body["detail"].startswith("/state/1")
