"""The API over each kind of database, started once; every test calls it as tenants of its own."""

import os
import uuid
from collections.abc import Iterator

import pytest
import structlog

from tests.fixtures.client import Account, Api, open_api
from tests.fixtures.database import migrated, postgres_answers, postgres_url, settings_for


@pytest.fixture(scope="session", autouse=True)
def _logs_to_pytest() -> None:
    """structlog's default prints tracebacks with every local variable, which takes seconds for a crash."""
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.stdlib.render_to_log_kwargs],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


@pytest.fixture(scope="session", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("api")
    if request.param == "sqlite":
        settings = settings_for(folder)
        with migrated(settings) as database, open_api(settings, database) as opened:
            yield opened
        return
    if not postgres_answers():
        (pytest.fail if os.environ.get("CI") else pytest.skip)("PostgreSQL does not answer on 127.0.0.1")
    with postgres_url() as url:
        settings = settings_for(folder, database_url=url)
        with migrated(settings) as database, open_api(settings, database) as opened:
            yield opened


@pytest.fixture
def account(api: Api) -> Iterator[Account]:
    """The caller of most tests: a tenant with nothing in it."""
    with api.account(f"tenant-{uuid.uuid4().hex}") as made:
        yield made


@pytest.fixture
def stranger(api: Api) -> Iterator[Account]:
    """Another tenant."""
    with api.account(f"stranger-{uuid.uuid4().hex}") as made:
        yield made
