"""Logs: one format, no secrets."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from service.platform.logging import configure_logging
from tests.fixtures.database import settings_for

KEY = (
    "cleave_01a1fbb696b87193ad6e65faa83d8d76_ca17319c4db978a11d9e4dded054daf29485ba117a41bbda42f9cbe2752baa5b"
)


@pytest.fixture
def restored() -> Iterator[None]:
    """The logging that the other tests have."""
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
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
    try:
        raise ValueError(f"bad key {KEY}")
    except ValueError:
        log.exception("failed")
    written = capsys.readouterr().err
    assert KEY.split("_")[2] not in written
    assert "hunter2" not in written
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
