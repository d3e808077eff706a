"""API keys: what is stored, what is accepted, what is not."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, text

from service.app import create_app
from service.migrate import upgrade
from service.platform.auth import load_pepper, parse_key
from service.platform.errors import AuthRequiredError
from service.platform.settings import Settings
from service.tenants.keys import create_key, ensure_default_key
from service.tenants.service import ensure_tenant
from service.tenants.tables import ApiKey
from tests.fixtures.client import Account, Api, open_api
from tests.fixtures.database import migrated, settings_for


class TestPresented:
    def test_both_headers_are_taken(self, api: Api, account: Account) -> None:
        with api.client() as http:
            assert http.get("/v1/models", headers={"X-API-Key": account.key}).status_code == 200
            bearer = {"Authorization": f"bearer {account.key}"}
            assert http.get("/v1/models", headers=bearer).status_code == 200

    def test_refusals_all_look_the_same(self, api: Api, account: Account) -> None:
        scheme, key_id, secret = account.key.split("_")
        wrong = [
            "nonsense",
            f"{scheme}_{key_id}_{'0' * 64}",
            f"{scheme}_{'0' * 32}_{secret}",
            f"{scheme}_{key_id}_",
            f"{scheme}_{key_id}_{secret}_",
            f"{account.key}0",
        ]
        details = set()
        with api.client() as http:
            for key in wrong:
                answer = http.get("/v1/models", headers={"Authorization": f"Bearer {key}"})
                assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
                assert answer.headers["WWW-Authenticate"].startswith("Bearer")
                details.add(answer.json()["detail"])
        assert len(details) == 1

    def test_none_at_all(self, api: Api) -> None:
        with api.client() as http:
            assert http.get("/v1/models").status_code == 401
            assert http.get("/v1/models", headers={"Authorization": "Basic eDp5"}).status_code == 401
            assert http.get("/livez").status_code == 200

    @pytest.mark.parametrize("column", ["revoked_at", "expires_at"])
    def test_revoked_and_expired(self, api: Api, account: Account, column: str) -> None:
        key_id = parse_key(account.key).key_id  # type: ignore[union-attr]  # it is a key
        with api.database.write() as session:
            setattr(session.get_one(ApiKey, key_id), column, datetime.now(UTC) - timedelta(seconds=5))
        assert account.http.get("/v1/models").status_code == 401


class TestStored:
    def test_the_database_holds_no_secret(self, api: Api, account: Account) -> None:
        secret = account.key.split("_")[2]
        with api.database.read() as session:
            rows = session.execute(text("SELECT * FROM api_keys")).all()
        assert rows
        assert not any(secret in str(value) for row in rows for value in row)

    def test_the_first_key_is_made_once(self, settings: Settings) -> None:
        with migrated(settings) as database:
            with database.write() as session:
                first = ensure_default_key(session, settings)
            with database.write() as session:
                assert ensure_default_key(session, settings) is None
            with database.read() as session:
                assert len(session.scalars(select(ApiKey)).all()) == 1
        assert first is not None
        assert parse_key(first) is not None

    def test_the_pepper_is_private_and_stays(self, tmp_path: Path) -> None:
        settings = settings_for(tmp_path)
        assert load_pepper(settings) == load_pepper(settings)
        path = settings.home / "secret.key"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert [p.name for p in settings.home.iterdir()] == ["secret.key"]

    def test_another_pepper_accepts_no_key_and_the_log_says_why(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        settings = settings_for(tmp_path, secret_key="one")
        with migrated(settings) as database:
            with database.write() as session:
                key = create_key(session, settings, "default", "k")
            other = settings_for(tmp_path, secret_key="two")
            with open_api(other, database) as api, api.client(key) as http:
                answer = http.get("/v1/models")
        assert answer.status_code == 401
        assert "another CLEAVE_SECRET_KEY" in caplog.text
        assert "SECRET_KEY" not in answer.text
        assert key.rpartition("_")[2] not in caplog.text


class TestWithoutKeys:
    def test_on_loopback_the_caller_is_the_default_tenant(self, tmp_path: Path) -> None:
        settings = settings_for(tmp_path, auth=False)
        with migrated(settings) as database, open_api(settings, database) as api, api.client() as http:
            body = {"kind": "train", "architecture": "small_cnn", "dataset": "digits"}
            assert http.post("/v1/jobs", json=body).status_code == 202
            with database.write() as session:
                default = ensure_tenant(session)
                owners = session.execute(text("SELECT tenant_id FROM jobs")).scalars().all()
            assert owners == [default]

    @pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.org"])
    def test_on_a_reachable_host_it_does_not_start(self, tmp_path: Path, host: str) -> None:
        settings = settings_for(tmp_path, auth=False, host=host)
        with pytest.raises(AuthRequiredError, match=host) as refusal:
            create_app(settings)
        assert refusal.value.code == "auth_required"

    def test_upgrade_alone_makes_the_default_tenant(self, tmp_path: Path) -> None:
        settings = settings_for(tmp_path)
        upgrade(settings)
        with migrated(settings) as database, database.read() as session:
            assert session.execute(text("SELECT name FROM tenants")).scalars().all() == ["default"]
