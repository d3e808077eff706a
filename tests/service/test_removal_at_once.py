"""Many remove the same thing at once: one is told that it did, the others that there is none."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.fixtures.client import Account
from tests.service.test_holding import made

KINDS = ("compositions", "modules", "models", "datasets", "webhooks")


@pytest.mark.parametrize("kind", KINDS)
def test_one_removes_it(account: Account, kind: str) -> None:
    if kind == "webhooks":
        thing = account.http.post("/v1/webhooks", json={"url": "https://example.com/"}).json()["id"]
        account.http.post(f"/v1/webhooks/{thing}/test")
    else:
        thing = made(account, kind)[kind]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: account.http.delete(f"/v1/{kind}/{thing}"), range(8)))
    told = Counter(answer.json()["code"] if answer.content else answer.status_code for answer in answers)
    assert told == {204: 1, "not_found": 7}
    assert account.http.get(f"/v1/{kind}/{thing}").status_code == 404
