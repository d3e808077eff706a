from collections.abc import Iterator

import pytest

from service.client import CleaveClient
from tests.fixtures.database import settings_for
from tests.service.client.live import LiveService, served


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    with served(settings_for(tmp_path_factory.mktemp("service"))) as service:
        yield service


@pytest.fixture
def client(live: LiveService) -> Iterator[CleaveClient]:
    with CleaveClient(live.url, live.api_key, timeout=10) as connected:
        yield connected
