"""What the client refuses before anything is sent, and ids that look like paths."""

import pytest

from service.client import CleaveApiError, CleaveClient
from service.client.errors import InvalidApiKeyError, InvalidIdError


@pytest.mark.parametrize("key", ["\u043a\u043b\u044e\u0447", "cleave_1\n", "cleave 1", "a\x00b"])
def test_a_key_that_no_header_can_carry(key: str) -> None:
    with pytest.raises(InvalidApiKeyError) as caught:
        CleaveClient("http://127.0.0.1:9", key)
    assert key not in str(caught.value)


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_an_id_that_is_another_path(client: CleaveClient, name: str) -> None:
    gets = (client.jobs.get, client.models.get, client.modules.get, client.compositions.get)
    for call in (*gets, client.artifacts.get, client.datasets.get, client.jobs.cancel, client.jobs.events):
        with pytest.raises(InvalidIdError):
            call(name)
    with pytest.raises(InvalidIdError):
        next(client.jobs.stream(name))


@pytest.mark.parametrize("name", ["../jobs", "x?limit=1", "x#y", "%2e%2e"])
def test_an_id_stays_one_part_of_the_path(client: CleaveClient, name: str) -> None:
    for call in (client.artifacts.get, client.jobs.get, client.models.get):
        with pytest.raises(CleaveApiError) as caught:
            call(name)
        assert caught.value.code in {"not_found", "invalid_request"}
