import pytest

from tests.fixtures.client import Account, Api
from tests.fixtures.shell import Shell
from tests.service.client.conftest import client, live

__all__ = ["client", "live"]


@pytest.fixture
def shell(api: Api, account: Account) -> Shell:
    return Shell(api, account)
