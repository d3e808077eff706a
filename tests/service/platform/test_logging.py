"""Logs: one format, no secrets."""

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from service.platform.logging import configure_logging
from tests.fixtures.client import open_api
from tests.fixtures.database import migrated, settings_for
from tests.fixtures.possessions import everything

KEY = (
    "cleave_01a1fbb696b87193ad6e65faa83d8d76_ca17319c4db978a11d9e4dded054daf29485ba117a41bbda42f9cbe2752baa5b"
)


@pytest.fixture
def restored() -> Iterator[None]:
    """The logging that the other tests have."""
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(capture=False)
    structlog.configure(**before)
    root.handlers[:], root.level = handlers, level
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "alembic"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("log_format", ["json", "console"])
def test_no_secret_leaves(log_format: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(settings_for(tmp_path, log_format=log_format))
    log = structlog.get_logger("test")
    log.info("called", authorization=f"Bearer {KEY}", headers={"X-Api-Key": KEY}, lease_token=7)
    log.info("the key is %s", KEY)
    logging.getLogger("library").warning("cannot reach %s", "postgresql://user:hunter2@db/x")
    log.info("sent", url="https://x/v1/artifacts/art_1/signed?exp=1&sig=S1gnature&kid=k")
    log.info("presigned https://bucket/x?X-Amz-Credential=id&X-Amz-Signature=Pres1gned&x=1")
    logging.getLogger("httpx").info("HTTP Request: POST https://hooks.example/T0ken")
    log.info("secret whsec_U2VjcmV0 and /v1/events/stream?ticket=T1cket")
    logging.getLogger("library").warning("dsn %s", "host=db user=u password=hunter2 dbname=x")
    try:
        raise ValueError(f"bad key {KEY}")
    except ValueError:
        log.exception("failed")
    written = capsys.readouterr().err
    assert KEY.split("_")[2] not in written
    for secret in ("hunter2", "S1gnature", "U2VjcmV0", "T1cket", "Pres1gned", "T0ken"):
        assert secret not in written, secret
    assert "exp=1" in written
    assert "7" in written
    assert "bad key" in written


@pytest.mark.usefixtures("restored")
def test_a_json_line_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(settings_for(tmp_path, log_format="json"))
    with structlog.contextvars.bound_contextvars(request_id="req_1"):
        structlog.get_logger("test").info("forged\nlevel=critical", path="a\nb")
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["request_id"] == "req_1"


@pytest.mark.usefixtures("restored")
def test_below_the_level_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(settings_for(tmp_path, log_level="warning"))
    structlog.get_logger("test").info("quiet")
    assert capsys.readouterr().err == ""


class Broken:
    """What a driver says when it cannot read its address."""

    def get(self, _: str) -> None:
        raise ValueError("cannot read postgresql://user:hunter2@db/x")


@pytest.mark.usefixtures("restored")
def test_no_secret_of_a_run_is_in_its_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Keys, signatures and webhooks' secrets, used and refused; a crash with a password in its message."""
    settings = settings_for(tmp_path, log_format="json", log_level="debug")
    with migrated(settings) as database, open_api(settings, database) as api, api.account("a") as account:
        configure_logging(settings)
        things = everything(account)
        secrets = [account.key.split("_")[2], "hunter2"]
        hook = account.http.post("/v1/webhooks", json={"url": "https://example.com/"}).json()
        secrets.append(hook["secret"].removeprefix("whsec_"))
        secrets.append(account.http.post("/v1/api_keys", json={"name": "x"}).json()["api_key"].split("_")[2])
        signed = account.http.post(f"/v1/artifacts/{things['artifact_id']}/sign", json={}).json()["url"]
        secrets.append(signed.partition("sig=")[2].partition("&")[0])
        account.http.get(signed)
        account.http.get(f"/v1/models?api_key={account.key}")
        with api.client(f"{account.key}0") as stranger:
            assert stranger.get("/v1/models").status_code == 401
        api.app.state.callers = Broken()
        crashed = account.http.get("/v1/models")
        assert crashed.status_code == 500
    written = capsys.readouterr().err
    assert [secret for secret in secrets if secret in written] == []
    assert "cannot read postgresql" in written
    lines = [json.loads(line) for line in written.splitlines()]
    assert {"request", "request_crashed"} <= {line["event"] for line in lines}
    assert crashed.headers["X-Request-ID"] in {line.get("request_id") for line in lines}


@pytest.mark.usefixtures("restored")
def test_no_text_is_a_line_of_its_own_or_obeyed_by_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(settings_for(tmp_path, log_format="console"))
    logging.getLogger("x").warning("failed: %s", "\x1b[2Jno class 'a'\n2026-01-01 [info] all is well\x9b")
    structlog.get_logger("x").warning("told", name="b\r\u202ec")
    written = capsys.readouterr().err
    assert re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", written) == []
    assert [line[:4] for line in written.splitlines() if not line[:4].isdigit()] == ["    "]
