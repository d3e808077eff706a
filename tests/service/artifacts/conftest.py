"""Both kinds of store, for the same tests."""

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from service.platform.settings import Settings
from service.platform.storage import ArtifactStore, open_store
from tests.fixtures.client import Api, open_api
from tests.fixtures.database import migrated, settings_for
from tests.fixtures.lending import Lender
from tests.fixtures.s3 import S3Server, s3_server


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(
    scope="session", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services), "s3"]
)
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The API over each kind of database and store; in place of the one that all other tests use."""
    values: dict[str, object] = {}
    with ExitStack() as stack:
        if request.param == "postgresql":
            databases: Lender = request.getfixturevalue("postgres_databases")
            values["database_url"] = stack.enter_context(databases.lend())
        if request.param == "s3":
            server: S3Server = request.getfixturevalue("s3")
            values |= server.bucket(f"api-{uuid.uuid4().hex}")
        settings = settings_for(tmp_path_factory.mktemp("api"), **values)
        database = stack.enter_context(migrated(settings))
        yield stack.enter_context(open_api(settings, database))


@pytest.fixture(params=["folder", "s3"])
def store_settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    if request.param == "folder":
        return settings_for(tmp_path)
    server: S3Server = request.getfixturevalue("s3")
    return settings_for(tmp_path, **server.bucket(uuid.uuid4().hex))


@pytest.fixture
def store(store_settings: Settings) -> ArtifactStore:
    return open_store(store_settings)
