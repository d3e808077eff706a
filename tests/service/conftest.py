"""The API over each kind of database, started once; every test calls it as tenants of its own."""

import uuid
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import structlog

from tests.fixtures.client import Account, Api, open_api
from tests.fixtures.database import migrated, settings_for
from tests.fixtures.lending import Lender


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
    values: dict[str, object] = {}
    with ExitStack() as stack:
        if request.param == "postgresql":
            databases: Lender = request.getfixturevalue("postgres_databases")
            values["database_url"] = stack.enter_context(databases.lend())
        settings = settings_for(tmp_path_factory.mktemp("api"), **values)
        database = stack.enter_context(migrated(settings))
        yield stack.enter_context(open_api(settings, database))


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
