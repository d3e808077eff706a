"""Health, readiness and request ids."""

from pathlib import Path

import pytest

from service.migrate import downgrade
from tests.fixtures.client import Account, Api, open_api
from tests.fixtures.database import migrated, settings_for
from tests.fixtures.problems import problem


class TestRequestIds:
    def test_a_sane_one_is_kept(self, account: Account) -> None:
        answer = account.http.get("/v1/models", headers={"X-Request-ID": "abc-1.2_3"})
        assert answer.headers["X-Request-ID"] == "abc-1.2_3"

    @pytest.mark.parametrize("given", ["a b", "x" * 101, "{}", ""])
    def test_another_is_replaced(self, account: Account, given: str) -> None:
        answer = account.http.get("/v1/models", headers={"X-Request-ID": given})
        assert answer.headers["X-Request-ID"].startswith("req_")


class TestRoot:
    def test_it_says_what_this_is_and_every_link_leads_somewhere(self, api: Api, account: Account) -> None:
        with api.client() as http:
            found = http.get("/").json()
        assert (found["name"], found["version"]) == ("cleave", api.app.version)
        assert {"/docs", "/openapi.json"} <= set(found["links"].values())
        for name, link in found["links"].items():
            assert account.http.get(link).status_code == 200, name


class TestHealth:
    def test_ready(self, api: Api) -> None:
        with api.client() as http:
            assert http.get("/readyz").json()["checks"] == {
                "database": "ok",
                "schema": "ok",
                "artifact_store": "ok",
            }
            assert http.get("/version").json()["api"] == "v1"

    def test_a_foreign_schema_is_not_ready(self, tmp_path: Path) -> None:
        settings = settings_for(tmp_path)
        with migrated(settings) as database, open_api(settings, database) as api, api.client() as http:
            downgrade(settings, "base")
            body = problem(http.get("/readyz"))
        assert (body["status"], body["code"], body["retryable"]) == (503, "unavailable", True)
        assert body["checks"]["schema"] == "has no tables; run `cleave db upgrade`"

    def test_a_newer_schema_is_ready(self, tmp_path: Path) -> None:
        """What still runs during an upgrade."""
        settings = settings_for(tmp_path)
        with migrated(settings) as database, open_api(settings, database) as api, api.client() as http:
            with database.engine.begin() as connection:
                connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'of tomorrow'")
            assert http.get("/readyz").json()["checks"]["schema"] == "ok"
            with database.engine.begin() as connection:
                first = "UPDATE alembic_version SET version_num = '20261126_122000'"
                connection.exec_driver_sql(first)
            assert "is at 20261126_122000" in problem(http.get("/readyz"))["checks"]["schema"]

    def test_a_database_that_does_not_answer(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        settings = settings_for(tmp_path, database_url="postgresql+psycopg://nobody@127.0.0.1:1/none")
        with open_api(settings, None) as api, api.client("cleave_0_0") as http:  # type: ignore[arg-type]
            ready, models = http.get("/readyz"), http.get("/v1/models")
            assert http.get("/livez").status_code == 200
        assert problem(ready)["checks"]["database"] == "does not answer (OperationalError)"
        (told,) = (r.getMessage() for r in caplog.records if r.name == "service.platform.health")
        assert "127.0.0.1" in told  # where: in the log, and not in the answer
        assert "127.0.0.1" not in ready.text
        assert problem(models)["code"] == "unavailable"
        assert models.headers["Retry-After"]

    def test_a_store_without_enough_space(self, tmp_path: Path) -> None:
        settings = settings_for(tmp_path, min_free_mib=1 << 40)
        with migrated(settings) as database, open_api(settings, database) as api, api.client() as http:
            body = problem(http.get("/readyz"))
        assert (body["status"], body["retryable"]) == (503, True)
        assert body["checks"]["artifact_store"].startswith("is full (")
        assert f"{1 << 40} are wanted" in body["detail"]

    def test_a_store_that_cannot_be_written(self, tmp_path: Path) -> None:
        blocked = tmp_path / "file"
        blocked.touch()
        settings = settings_for(tmp_path, artifact_url=f"file://{blocked}")
        with migrated(settings) as database, open_api(settings, database) as api, api.client() as http:
            assert "artifact_store" in problem(http.get("/readyz"))["detail"]
