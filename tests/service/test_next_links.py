"""Every list that the API describes names its next page in `Link`, and that page is the one of its cursor."""

from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from service.jobs.tables import JobEvent
from service.models.tables import Metric
from tests.fixtures.client import Account, Api
from tests.fixtures.possessions import REQUIRED_QUERY, everything


def lists(api: Api) -> dict[str, tuple[str, dict[str, Any]]]:
    """operationId -> path and description, of what is read in pages."""
    return {
        operation["operationId"]: (path, operation)
        for path, methods in api.app.openapi()["paths"].items()
        for method, operation in methods.items()
        if method == "get" and "limit" in {p["name"] for p in operation.get("parameters", [])}
    }


@pytest.fixture
def things(api: Api, account: Account) -> dict[str, str]:
    """Two of whatever there can be a list of."""
    everything(account)
    things = everything(account)
    account.http.post(f"/v1/webhooks/{things['webhook_id']}/test")
    account.registry.extract(things["model_id"], {"dog": 0.7})
    with api.database.write(account.tenant_id) as session:
        for number in (1000, 1001):
            owned = {"tenant_id": account.tenant_id, "job_id": things["job_id"]}
            log = {"level": "info", "message": "a line"}
            session.add(JobEvent(seq=number, type="job.log", data=log, **owned))
            session.add(Metric(name="loss", value=0.5, epoch=number, **owned))
    return things


def test_every_list_leads_on(api: Api, account: Account, things: dict[str, str]) -> None:
    for name, (path, operation) in lists(api).items():
        assert "Link" in operation["responses"]["200"]["headers"], name
        url, query = path.format(**things), {**REQUIRED_QUERY.get(name, {}), "limit": "1"}
        first = account.http.get(url, params=query)
        assert first.json()["has_more"], f"{name}: make two in `things`"
        [link] = first.links.values()
        assert (link["rel"], link["url"][0]) == ("next", "?")
        assert parse_qs(link["url"][1:]) == {
            **{key: [value] for key, value in query.items()},
            "after": [first.json()["next_cursor"]],
        }
        second = account.http.get(first.url.join(link["url"]))
        assert second.status_code == 200, second.text
        assert second.json()["data"][0] != first.json()["data"][0]
        everything_left = account.http.get(url, params={**query, "limit": "200"})
        assert not everything_left.json()["has_more"]
        assert everything_left.links == {}


def test_a_list_that_is_kept_rendered_leads_on_each_time(account: Account, things: dict[str, str]) -> None:
    assert things
    asked = [account.http.get("/v1/modules", params={"limit": 1, "sort": "parameters"}) for _ in range(3)]
    assert len({answer.links["next"]["url"] for answer in asked}) == 1


def test_filters_are_kept_as_they_were_sent(account: Account, things: dict[str, str]) -> None:
    assert things
    sent = "tag=a&tag=b%26c&created_at%5Bgte%5D=2020-01-01T00%3A00%3A00%2B01%3A00&limit=1"
    for _ in range(2):
        module_id = account.registry.extract(things["model_id"], {"cat": 0.5})[0]
        labelled = account.http.patch(f"/v1/modules/{module_id}", json={"tags": ["a", "b&c"]})
        assert labelled.status_code == 200, labelled.text
    first = account.http.get(f"/v1/modules?{sent}")
    url = first.links["next"]["url"]
    assert url.startswith(f"?{sent}&after=")
    followed = account.http.get(httpx.URL("/v1/modules").join(url))
    assert (followed.status_code, len(followed.json()["data"])) == (200, 1)
